import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText } from '@millrace/shared/domain/json-text';
import { jsonExcess, maxJsonDepth } from '@millrace/shared/domain/json-bounds';
import type { JsonBounds, JsonExcess } from '@millrace/shared/domain/json-bounds';
import { apiError } from '../../errors.ts';
import type { ApiError } from '../../errors.ts';

/** What the proxy itself reads of a chat completion request; all else is the provider's business. */
export type ChatRequest = {
  model: string;
  stream: boolean;
  includeUsage: boolean;
};

/** What the JSON of a request may have, whatever way it comes; it is checked before the text is parsed. */
export const requestBounds = (limits: { requestValues: number }): JsonBounds => ({
  depth: maxJsonDepth,
  values: limits.requestValues,
});

/** Says that a request has more than its bounds allow. */
export function tooComplex(excess: JsonExcess, { depth, values }: JsonBounds): ApiError {
  if (excess === 'depth') {
    return apiError('request_too_deep', { depth });
  }
  return apiError('request_too_complex', { values });
}

/** Throws an ApiError on the JSON of a request, in UTF-8, that has more than its bounds allow. */
export function checkShape(bytes: Uint8Array, bounds: JsonBounds): void {
  const excess = jsonExcess(bytes, bounds);
  if (excess) throw tooComplex(excess, bounds);
}

/** Throws an ApiError on a text that is no JSON object. Its shape was checked while it arrived. */
export function parseObject(text: unknown): Record<string, unknown> {
  if (typeof text !== 'string' || text.trim() === '') {
    throw apiError('invalid_request', {
      message: 'The request body is empty; a JSON object was expected.',
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? `: ${error.message}` : '';
    throw apiError('invalid_json', { what: 'body', reason });
  }
  if (!isJsonObject(value))
    throw apiError('invalid_request', { message: 'The request body must be a JSON object.' });
  return value;
}

/** Characters of a request's metadata, as JSON: each look at the request reads them again. */
const maxMetadataChars = 64 * 1024;

/** The member `metadata` of a job or a frame with this text. Throws an ApiError where it is no object, or too large. */
export function readMetadata(metadata: unknown, text: string): Record<string, unknown> | undefined {
  if (metadata === undefined) return undefined;
  if (!isJsonObject(metadata)) throw wrongType('metadata', 'an object', metadata);
  if ((memberText(text, 'metadata')?.length ?? 0) > maxMetadataChars) {
    throw apiError('metadata_too_large', { maxChars: maxMetadataChars });
  }
  return metadata;
}

/** Throws an ApiError that names the field which is missing or of the wrong type. */
export function readChatRequest(body: Record<string, unknown>): ChatRequest {
  const { model, messages, stream, stream_options: streamOptions } = body;
  if (model === undefined || model === '') {
    throw apiError('invalid_request', {
      message: 'You must provide a model parameter.',
      param: 'model',
    });
  }
  if (typeof model !== 'string') throw wrongType('model', 'a string', model);
  if (messages === undefined) {
    throw missing('messages');
  }
  if (!Array.isArray(messages)) throw wrongType('messages', 'an array of objects', messages);
  if (messages.length === 0) {
    throw apiError('empty_array', { param: 'messages' });
  }
  const odd = messages.findIndex((message) => !isJsonObject(message));
  if (odd >= 0) throw wrongType(`messages[${odd}]`, 'an object', messages[odd]);
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw wrongType('stream', 'a boolean', stream);
  }
  if (streamOptions !== undefined && streamOptions !== null && !isJsonObject(streamOptions)) {
    throw wrongType('stream_options', 'an object', streamOptions);
  }
  if (streamOptions && stream !== true) {
    throw apiError('invalid_request', {
      message: "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
      param: 'stream_options',
    });
  }
  return {
    model,
    stream: stream === true,
    includeUsage: isJsonObject(streamOptions) && streamOptions['include_usage'] === true,
  };
}

const missing = (param: string) => apiError('missing_required_parameter', { param });

export const wrongType = (param: string, expected: string, found: unknown) =>
  found === undefined
    ? missing(param)
    : apiError('invalid_type', { param, expected, found: nameType(found) });

function nameType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a number';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
