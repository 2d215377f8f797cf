import { isJsonObject, itemsOf, shownText } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { InnerRequest } from '../../client-port.ts';
import { Inexpressible } from '../../inexpressible.ts';
import { innerMessages } from './messages.ts';
import { member } from './names.ts';
import { schemaOf } from './schema.ts';
import { innerChoice, innerTools } from './tools.ts';

/**
 * The body of a `generateContent` request in the inner form; `model` and `stream`, which the URL has, are members of it.
 * Dropped, because they change no answer or no other provider has them: `safetySettings`, `topK`, `labels`, `store`,
 * `mediaResolution`, thoughts of earlier answers. A provider of Gemini's format gets the client's own body instead.
 * @throws {InvalidRequest}
 */
export function toInner(body: JsonObject): InnerRequest {
  const lost = new Inexpressible("Gemini's API");
  const { model, stream } = body;
  if (typeof model !== 'string' || model === '') {
    throw new InvalidRequest('model', 'The request names no model.');
  }
  if (stream !== undefined && typeof stream !== 'boolean') {
    throw new InvalidRequest('stream', "Invalid value at 'stream'.");
  }
  const contents = itemsOf(member(body, 'contents'));
  if (contents.length === 0) {
    throw new InvalidRequest(
      'contents',
      '* GenerateContentRequest.contents: contents is not specified',
    );
  }
  if (member(body, 'cachedContent') !== undefined) lost.add('cachedContent', 'cached contents');
  const tools = innerTools(member(body, 'tools'), lost);
  const config = member(body, 'generationConfig');
  const inner = {
    model,
    messages: innerMessages(member(body, 'systemInstruction'), contents, lost),
    ...(stream === true && { stream: true }),
    ...(tools.length > 0 && { tools, ...innerChoice(member(body, 'toolConfig')) }),
    ...(isJsonObject(config) && innerConfig(config, lost)),
    ...innerTier(member(body, 'serviceTier')),
  };
  return { body: JSON.stringify(inner), inexpressible: lost.first };
}

/** Whether the client wants to see thoughts. */
export function asksForThoughts(body: JsonObject): boolean {
  const config = member(body, 'generationConfig');
  const thinking = isJsonObject(config) ? member(config, 'thinkingConfig') : undefined;
  return isJsonObject(thinking) && member(thinking, 'includeThoughts') === true;
}

/** Members with a counterpart, by their names there. */
const numbers: Readonly<Record<string, string>> = {
  maxOutputTokens: 'max_tokens',
  temperature: 'temperature',
  topP: 'top_p',
  candidateCount: 'n',
  seed: 'seed',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
};

function innerConfig(config: JsonObject, lost: Inexpressible): JsonObject {
  const inner: Record<string, unknown> = {};
  for (const [name, own] of Object.entries(numbers)) {
    const value = member(config, name);
    if (value === undefined) continue;
    if (typeof value !== 'number') {
      const param = `generation_config.${name}`;
      throw new InvalidRequest(param, `Invalid value at '${param}': expected a number.`);
    }
    inner[own] = value;
  }
  const stop = itemsOf(member(config, 'stopSequences'));
  if (stop.length > 0) inner['stop'] = stop;
  if (member(config, 'responseLogprobs') === true) {
    inner['logprobs'] = true;
    const top = member(config, 'logprobs');
    if (typeof top === 'number') inner['top_logprobs'] = top;
  }
  const modalities = itemsOf(member(config, 'responseModalities'));
  if (modalities.some((one) => shownText(one).toUpperCase() !== 'TEXT')) {
    lost.add('generationConfig.responseModalities', 'answers in other forms than text');
  }
  return {
    ...inner,
    ...innerFormat(config, lost),
    ...innerEffort(member(config, 'thinkingConfig')),
  };
}

function innerFormat(config: JsonObject, lost: Inexpressible): JsonObject {
  const type = member(config, 'responseMimeType') ?? 'text/plain';
  if (type === 'text/plain') return {};
  if (type !== 'application/json') {
    lost.add('generationConfig.responseMimeType', `answers of the type ${JSON.stringify(type)}`);
    return {};
  }
  const schema = schemaOf(config, 'responseJsonSchema', 'responseSchema');
  if (!schema) return { response_format: { type: 'json_object' } };
  return { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } } };
}

/** The efforts whose budgets Google's OpenAI-compatible API has: 1024, 8192 and 24576 tokens. */
function innerEffort(thinking: unknown): JsonObject {
  if (!isJsonObject(thinking)) return {};
  const level = member(thinking, 'thinkingLevel');
  if (typeof level === 'string' && level !== 'THINKING_LEVEL_UNSPECIFIED') {
    return { reasoning_effort: level.toLowerCase() };
  }
  const budget = member(thinking, 'thinkingBudget');
  // A negative one lets the model decide.
  if (typeof budget !== 'number' || budget < 0) return {};
  if (budget === 0) return { reasoning_effort: 'none' };
  return { reasoning_effort: budget <= 1024 ? 'low' : budget <= 8192 ? 'medium' : 'high' };
}

const tiers: Readonly<Record<string, string>> = {
  standard: 'default',
  flex: 'flex',
  priority: 'priority',
};

const innerTier = (tier: unknown): JsonObject =>
  typeof tier === 'string' && Object.hasOwn(tiers, tier) ? { service_tier: tiers[tier] } : {};
