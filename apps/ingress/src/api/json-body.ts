import { isJsonObject } from '@millrace/shared/domain/json';
import { jsonExcess } from '@millrace/shared/domain/json-bounds';
import type { JsonBounds } from '@millrace/shared/domain/json-bounds';
import { memberText } from '@millrace/shared/domain/json-text';
import { apiError, errorOf } from '../api-error.ts';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import { tooComplex } from '../server/json-shape.ts';
import type { ClientApi, ParsedBody, Resolved } from './port.ts';
import { readRequest } from './read-request.ts';

/* Common checks of the bodies of all APIs, jobs and frames. */

/** Throws an ApiError if the JSON of a request, in UTF-8, exceeds its bounds. */
export function checkShape(bytes: Uint8Array, bounds: JsonBounds): void {
  const excess = jsonExcess(bytes, bounds);
  if (excess) throw tooComplex(excess, bounds);
}

/** Throws an ApiError if the text is no JSON object. Its shape was checked while it arrived. */
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

/**
 * The member `body` of a job or a frame with this text: parsed by its API, and its text, which is sent upstream byte for
 * byte. `resolved`: what it refers to. Throws an ApiError.
 */
export function readInnerBody(
  api: ClientApi,
  object: unknown,
  text: string,
  resolved?: Resolved,
): InnerBody {
  if (!isJsonObject(object)) throw wrongType('body', 'an object', object);
  const own = memberText(text, 'body') ?? '{}';
  const { parsed, body } = readRequest(api, { text: own, body: object }, resolved);
  const { model, stream, includeUsage, inner, echo, keepsBody } = parsed;
  return {
    endpoint: api.path,
    model,
    stream,
    includeUsage,
    inner,
    echo,
    keepsBody,
    body,
  };
}

export type InnerBody = Omit<ParsedBody, 'kind' | 'members'> & {
  endpoint: ClientApi['path'];
  body: string;
};

/** Characters of a request's metadata as JSON, which every view of the request reads. */
const maxMetadataChars = 64 * 1024;

/** The member `metadata` of a job or a frame with this text. Throws an ApiError if it is no object, or too large. */
export function readMetadata(
  metadata: unknown,
  text: string,
  maxChars = maxMetadataChars,
): Record<string, unknown> | undefined {
  if (metadata === undefined) return undefined;
  if (!isJsonObject(metadata)) throw wrongType('metadata', 'an object', metadata);
  if ((memberText(text, 'metadata')?.length ?? 0) > maxChars) {
    throw apiError('metadata_too_large', { maxChars });
  }
  return metadata;
}

/** The verdict on a field that is missing or of the wrong type. */
export const refuseType = (param: string, expected: string, found: unknown): Refused =>
  found === undefined
    ? refuse('missing_required_parameter', { param })
    : refuse('invalid_type', { param, expected, found: nameType(found) });

export const wrongType = (param: string, expected: string, found: unknown) =>
  errorOf(refuseType(param, expected, found));

function nameType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a number';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
