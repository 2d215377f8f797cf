import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { ProviderCall } from '../port.ts';
import { invalid } from '../refused.ts';
import { ownFields, refusedFields, sharedFields } from './fields.ts';
import { parseInnerBody, refuseFields } from '../inner-body.ts';
import { markPrefill, translateMessages } from './input.ts';
import { encryptedReasoning, needsReasoning, translateReasoning } from './reasoning.ts';
import { translateTools } from './tools.ts';

type Json = Readonly<Record<string, unknown>>;

/** The fewest tokens that the API lets a request limit its answer to. */
export const minOutputTokens = 16;

export type TranslateOptions = Pick<ProviderCall, 'body' | 'model' | 'stream' | 'prefill'>;

/**
 * The body of a chat completion request as one for the Responses API.
 * @throws {RefusedError} where it asks for what cannot be said in it.
 */
export function translateRequest({ body, model, stream, prefill }: TranslateOptions): string {
  const request = parseInnerBody(body);
  refuseFields(request, refusedFields, 'The Responses API');
  const items = translateMessages(request['messages']);
  const reasoning = translateReasoning(request);
  const text = translateText(request);
  const include = includeOf(request, model);
  return JSON.stringify({
    model,
    input: prefill ? markPrefill(items) : items,
    ...translateTools(request),
    ...(reasoning && { reasoning }),
    ...(text && { text }),
    ...maxTokensOf(request),
    ...logprobsOf(request),
    ...(include.length > 0 && { include }),
    ...present(request, sharedFields),
    ...present(request, ownFields),
    // The API's default is true, but the provider need not keep what this server keeps.
    store: request['store'] === true,
    ...(stream && { stream: true, ...streamOptions(request['stream_options']) }),
  });
}

function present(request: Json, names: readonly string[]): Json {
  const given = names.filter((name) => request[name] !== undefined && request[name] !== null);
  return Object.fromEntries(given.map((name) => [name, request[name]]));
}

function maxTokensOf(request: Json): Json {
  const asked = request['max_completion_tokens'] ?? request['max_tokens'] ?? undefined;
  if (asked === undefined) return {};
  if (typeof asked !== 'number') throw invalid('max_completion_tokens', 'must be a number');
  return { max_output_tokens: Math.max(asked, minOutputTokens) };
}

const asksForLogprobs = (request: Json): boolean => request['logprobs'] === true;

const logprobsOf = (request: Json): Json =>
  asksForLogprobs(request) ? present(request, ['top_logprobs']) : {};

function includeOf(request: Json, model: string): unknown[] {
  const include = new Set(itemsOf(request['include']));
  if (asksForLogprobs(request)) include.add('message.output_text.logprobs');
  if (needsReasoning(request, model)) include.add(encryptedReasoning);
  return [...include];
}

/** `text`: the caller's own, with the format and the verbosity. Undefined if it says nothing. */
function translateText(request: Json): Json | undefined {
  const own = isJsonObject(request['text']) ? request['text'] : {};
  const format = translateFormat(request['response_format']);
  const text = { ...own, ...(format && { format }), ...present(request, ['verbosity']) };
  return Object.keys(text).length > 0 ? text : undefined;
}

function translateFormat(format: unknown): Json | undefined {
  const param = 'response_format';
  if (format === undefined || format === null) return undefined;
  if (!isJsonObject(format)) throw invalid(param, 'must be an object');
  const { type, json_schema: described } = format;
  if (type === 'text') return undefined;
  if (type !== 'json_schema') return format;
  if (!isJsonObject(described)) throw invalid(`${param}.json_schema`, 'must be an object');
  return { type, ...described };
}

/** Usage always comes, so only the option about obfuscation is left. */
function streamOptions(options: unknown): Json {
  const obfuscation = isJsonObject(options) ? options['include_obfuscation'] : undefined;
  return obfuscation === undefined ? {} : { stream_options: { include_obfuscation: obfuscation } };
}
