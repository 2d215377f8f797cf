import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import type { ProviderCall } from '../port.ts';
import { invalid, RefusedError } from '../refused.ts';
import { ownMembers, refusedFields } from './fields.ts';
import { parseInnerBody, refuseFields } from '../inner-body.ts';
import { translateMessages } from './messages.ts';
import { traitsOf } from './models.ts';
import type { ModelTraits } from './models.ts';
import { translateThinking } from './thinking.ts';
import { translateTools } from './tools.ts';

type Json = Readonly<Record<string, unknown>>;

export type TranslateOptions = Pick<ProviderCall, 'body' | 'model' | 'prefill'>;

/**
 * The body of an OpenAI chat completion request as one of Gemini's `generateContent`. The model and the form of the
 * answer are in the path.
 * @throws {RefusedError} if Gemini's format cannot express the request.
 */
export function translateRequest({ body, model, prefill }: TranslateOptions): string {
  const request = parseInnerBody(body);
  refuseFields(request, refusedFields, "Gemini's API");
  const traits = traitsOf(model);
  const { system, contents } = translateMessages(request['messages'], traits);
  if (prefill && contents.at(-1)?.role !== 'model') {
    throw invalid('messages', 'must end with the beginning of the answer');
  }
  const { generationConfig, thinkingConfig, ...own } = ownMembers(request);
  const config = {
    ...translateConfig(request, thinkingConfig, traits),
    ...(isJsonObject(generationConfig) && generationConfig),
  };
  return JSON.stringify({
    contents,
    ...(system.length > 0 && { systemInstruction: { parts: system } }),
    ...translateTools(request),
    ...(Object.keys(config).length > 0 && { generationConfig: config }),
    ...translateTier(request['service_tier']),
    ...own,
  });
}

function translateConfig(request: Json, thinking: unknown, traits: ModelTraits): Json {
  const maxOutputTokens = maxTokensOf(request);
  const thinkingConfig = translateThinking(request, thinking, traits, maxOutputTokens);
  const { n } = request;
  return {
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(typeof n === 'number' && n > 1 && { candidateCount: n }),
    ...translateSampling(request, traits),
    ...translateStop(request['stop']),
    ...translateLogprobs(request),
    ...translateModalities(request['modalities']),
    ...translateFormat(request['response_format']),
    ...(thinkingConfig && { thinkingConfig }),
  };
}

function maxTokensOf(request: Json): number | undefined {
  const asked = request['max_completion_tokens'] ?? request['max_tokens'] ?? undefined;
  if (asked === undefined || typeof asked === 'number') return asked;
  throw invalid('max_completion_tokens', 'must be a number');
}

function translateSampling(request: Json, { sampling }: ModelTraits): Json {
  const { temperature, top_p: topP, top_k: topK, seed } = request;
  return {
    ...(sampling && typeof temperature === 'number' && { temperature }),
    ...(sampling && typeof topP === 'number' && { topP }),
    ...(sampling && typeof topK === 'number' && { topK }),
    ...(typeof seed === 'number' && Number.isInteger(seed) && { seed: toInt32(seed) }),
  };
}

/** Equal seeds stay equal. Gemini's have 32 bits, OpenAI's 64. */
const toInt32 = (seed: number): number => Number(BigInt.asIntN(32, BigInt(seed)));

function translateStop(stop: unknown): Json {
  if (stop === undefined || stop === null) return {};
  const stopSequences = Array.isArray(stop) ? (stop as unknown[]) : [stop];
  if (stopSequences.some((sequence) => typeof sequence !== 'string')) {
    throw invalid('stop', 'must be a text or an array of texts');
  }
  return stopSequences.length > 0 ? { stopSequences } : {};
}

function translateLogprobs({ logprobs, top_logprobs: top }: Json): Json {
  if (logprobs !== true) return {};
  return { responseLogprobs: true, ...(typeof top === 'number' && top > 0 && { logprobs: top }) };
}

/** Text is the default. */
function translateModalities(modalities: unknown): Json {
  if (modalities === undefined || modalities === null) return {};
  const names: unknown[] = Array.isArray(modalities) ? modalities : [modalities];
  if (names.some((name) => name !== 'text' && name !== 'image')) {
    throw new RefusedError('modalities', 'Answers of Gemini have texts and images only.');
  }
  if (!names.includes('image')) return {};
  return { responseModalities: names.map((name) => shownText(name).toUpperCase()) };
}

function translateFormat(format: unknown): Json {
  const param = 'response_format';
  if (format === undefined || format === null) return {};
  if (!isJsonObject(format)) throw invalid(param, 'must be an object');
  const { type, json_schema: described } = format;
  if (type === 'text') return {};
  const json = { responseMimeType: 'application/json' };
  if (type === 'json_object') return json;
  if (type !== 'json_schema' || !isJsonObject(described)) {
    throw new RefusedError(
      `${param}.type`,
      `Gemini's API has no format '${shownText(type)}': only 'json_object' and 'json_schema'.`,
    );
  }
  const { schema } = described;
  return isJsonObject(schema) ? { ...json, responseJsonSchema: schema } : json;
}

/** OpenAI's tiers that Gemini has; the others are its default. */
const tiers: Readonly<Record<string, string>> = {
  default: 'standard',
  flex: 'flex',
  priority: 'priority',
};

const translateTier = (tier: unknown): Json =>
  typeof tier === 'string' && Object.hasOwn(tiers, tier) ? { serviceTier: tiers[tier] } : {};
