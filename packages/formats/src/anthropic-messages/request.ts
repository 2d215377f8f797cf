import { createHash } from 'node:crypto';
import { isJsonObject, shownText } from '@millrace/shared/domain/json';
import type { ProviderCall } from '../port.ts';
import { ownFields, refusedFields } from './fields.ts';
import { parseInnerBody, refuseFields } from '../inner-body.ts';
import { translateMessages } from './messages.ts';
import { traitsOf } from './models.ts';
import type { ModelTraits } from './models.ts';
import { refusePrefill } from './prefill.ts';
import { invalid, RefusedError } from '../refused.ts';
import { toStrictSchema } from './schema.ts';
import { translateThinking } from './thinking.ts';
import { translateTools } from './tools.ts';

/**
 * Token limit of an answer if the request has none: Anthropic requires one, OpenAI does not. It is the most
 * that every Claude since 4 can write: a lower limit would cut off long answers, a higher one is rejected by
 * some models and deducted from the context by others.
 */
export const defaultMaxTokens = 32_000;

/** Characters of `metadata.user_id`. */
const maxUserIdLength = 256;

/** The lowest `top_p` that is accepted together with thinking. */
const minThinkingTopP = 0.95;

export type TranslateOptions = Pick<ProviderCall, 'body' | 'model' | 'stream' | 'prefill'>;

/**
 * The body of an OpenAI chat completion request as one of an Anthropic message.
 * @throws {RefusedError} where it asks for what cannot be said in it.
 */
export function translateRequest({ body, model, stream, prefill }: TranslateOptions): string {
  const request = parseInnerBody(body);
  refuseFields(request, refusedFields, "Anthropic's API");
  if (prefill) refusePrefill(request);
  const known = traitsOf(model);
  // If the target is asked to continue a text, the config is more reliable than the model's name.
  const traits = prefill ? { ...known, prefill } : known;
  const maxTokens = maxTokensOf(request, traits);
  const { system, turns, prefilled, called, hasThoughtlessCalls } = translateMessages(
    request['messages'],
    traits,
  );
  if (prefill && !prefilled) throw invalid('messages', 'must end with the beginning of the answer');
  const tools = translateTools(request, traits, called);
  const ruledOut = tools.forced || prefilled;
  const situation = { traits, maxTokens, ruledOut, hasThoughtlessCalls };
  const thinking = translateThinking(request, situation);
  const outputConfig = translateOutput(request, traits, thinking.effort);
  return JSON.stringify({
    model,
    max_tokens: maxTokens,
    ...(system.length > 0 && { system }),
    messages: turns,
    ...tools.members,
    ...thinking.members,
    ...(outputConfig && { output_config: outputConfig }),
    ...translateSampling(request, traits, thinking.on),
    ...translateStop(request['stop']),
    ...translateUser(request),
    ...translateTier(request['service_tier']),
    ...ownMembers(request),
    ...(stream && { stream: true }),
  });
}

/** Limits the token bound to what the model can write. */
function maxTokensOf(request: Record<string, unknown>, traits: ModelTraits): number {
  const asked = request['max_completion_tokens'] ?? request['max_tokens'] ?? defaultMaxTokens;
  if (typeof asked !== 'number') throw invalid('max_completion_tokens', 'must be a number');
  return Math.min(asked, traits.maxTokens ?? asked);
}

/** OpenAI's temperatures range to 2, Anthropic's to 1. */
function translateSampling(
  request: Record<string, unknown>,
  { sampling }: ModelTraits,
  isThinking: boolean,
): Record<string, unknown> {
  const members: Record<string, unknown> = {};
  if (sampling === 'none') return members;
  const { temperature, top_p: topP, top_k: topK } = request;
  if (typeof temperature === 'number' && !isThinking) {
    members['temperature'] = Math.min(1, Math.max(0, temperature));
  }
  const isAlone = members['temperature'] === undefined || sampling === 'both';
  if (typeof topP === 'number' && isAlone && (!isThinking || topP >= minThinkingTopP)) {
    members['top_p'] = topP;
  }
  if (typeof topK === 'number' && !isThinking) members['top_k'] = topK;
  return members;
}

/** Anthropic rejects stop sequences of white space only, as it documents for its OpenAI-compatible API, too. */
function translateStop(stop: unknown): Record<string, unknown> {
  if (stop === undefined || stop === null) return {};
  const sequences = (Array.isArray(stop) ? (stop as unknown[]) : [stop]).map((sequence) => {
    if (typeof sequence !== 'string') throw invalid('stop', 'must be a text or an array of texts');
    return sequence;
  });
  const usable = sequences.filter((sequence) => sequence.trim() !== '');
  return usable.length > 0 ? { stop_sequences: usable } : {};
}

function translateUser(request: Record<string, unknown>): Record<string, unknown> {
  const user = request['user'] ?? request['safety_identifier'];
  if (typeof user !== 'string' || user === '') return {};
  const id =
    user.length <= maxUserIdLength ? user : createHash('sha256').update(user).digest('hex');
  return { metadata: { user_id: id } };
}

/** OpenAI's `default` is without priority; its other tiers do not exist here. */
function translateTier(tier: unknown): Record<string, unknown> {
  if (tier === 'default' || tier === 'standard_only') return { service_tier: 'standard_only' };
  return tier === 'auto' ? { service_tier: 'auto' } : {};
}

function ownMembers(request: Record<string, unknown>): Record<string, unknown> {
  const present = ownFields.filter((name) => request[name] !== undefined && request[name] !== null);
  return Object.fromEntries(present.map((name) => [name, request[name]]));
}

/** `output_config`: the caller's own, with the effort and the format. */
function translateOutput(
  request: Record<string, unknown>,
  traits: ModelTraits,
  effort: string | undefined,
): Record<string, unknown> | undefined {
  const own = isJsonObject(request['output_config']) ? request['output_config'] : {};
  const format = translateFormat(request['response_format'], traits);
  const config = { ...(effort !== undefined && { effort }), ...own, ...(format && { format }) };
  return Object.keys(config).length > 0 ? config : undefined;
}

function translateFormat(
  format: unknown,
  { structured }: ModelTraits,
): Record<string, unknown> | undefined {
  const param = 'response_format';
  if (format === undefined || format === null) return undefined;
  if (!isJsonObject(format)) throw invalid(param, 'must be an object');
  if (format['type'] === 'text') return undefined;
  const described = format['json_schema'];
  if (format['type'] !== 'json_schema' || !isJsonObject(described)) {
    throw new RefusedError(
      `${param}.type`,
      `Anthropic's API has no format '${shownText(format['type'])}': only 'json_schema'.`,
    );
  }
  if (!structured) throw new RefusedError(param, 'The model cannot be held to a JSON schema.');
  const schema = toStrictSchema(described['schema']);
  if (!schema) {
    throw new RefusedError(
      `${param}.json_schema.schema`,
      "Anthropic's API cannot express the schema: objects need named properties.",
    );
  }
  return { type: 'json_schema', schema };
}
