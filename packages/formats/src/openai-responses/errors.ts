import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import type { Fault } from '@millrace/shared/domain/fault';
import { faultInAnswer, readErrorBody, withRetryAfter } from '../errors/read-error.ts';
import type { ReadError } from '../errors/read-error.ts';
import { saysWhy } from '../errors/reason.ts';
import { errorOf } from '../openai-chat/chunk.ts';
import type { AnsweredCall, ErrorResponse } from '../port.ts';

/** The error in a response with an error status. */
export function readError({ status, headers, text }: ErrorResponse, call: AnsweredCall): ReadError {
  return withRetryAfter(inClientsWords(readErrorBody(status, text, { body: call.body })), headers);
}

/** The fault in a response object that has failed, or in an error in its place; undefined if there is none. */
export function faultInResponse(
  body: unknown,
  call: Pick<AnsweredCall, 'body'>,
): Fault | undefined {
  const error = errorOf(body);
  if (error) return toFault(withType(error), call);
  if (!isJsonObject(body)) return undefined;
  if (body['status'] === 'failed') return toFault({}, call);
  const isOther = body['object'] === undefined && body['output'] === undefined;
  return isOther && saysWhy(body) ? toFault(body, call) : undefined;
}

/** The fault in an event of a stream; undefined if there is none. `event`: its name. */
export function faultInEvent(
  value: JsonObject,
  event: string | undefined,
  call: Pick<AnsweredCall, 'body'>,
): Fault | undefined {
  const type = value['type'] ?? event;
  const { response } = value;
  if (type === 'response.failed') {
    return faultInResponse({ ...Object(response), status: 'failed' }, call);
  }
  if (typeof type === 'string' && type.startsWith('response.')) {
    return isJsonObject(response) && response['status'] === 'failed'
      ? faultInResponse(response, call)
      : undefined;
  }
  const nested = errorOf(value);
  if (nested) return toFault(withType(nested), call);
  if (type !== 'error') return faultInResponse(value, call);
  const { type: _, sequence_number: __, ...told } = value;
  return toFault(withType(told), call);
}

function toFault(error: unknown, { body }: Pick<AnsweredCall, 'body'>): Fault {
  return inClientsWords(faultInAnswer(error, { body }));
}

/** Codes of a failed response that concern the request. Such an error has no type. */
const requestCodes = /^(invalid_|image_|empty_image_|unsupported_|data_residency_)/;

function withType(error: JsonObject): JsonObject {
  const { type, code } = error;
  const hasType = typeof type === 'string' && type !== '' && type !== 'error';
  if (hasType) return error;
  const { type: _, ...told } = error;
  const isRequest = typeof code === 'string' && requestCodes.test(code);
  return isRequest ? { ...told, type: 'invalid_request_error' } : told;
}

/** The members of a chat completion request for those that a provider's error names. */
const params: readonly (readonly [RegExp, string])[] = [
  [/^input\b.*/, 'messages'],
  [/^max_output_tokens$/, 'max_completion_tokens'],
  [/^text\.format\b/, 'response_format'],
  [/^text\.verbosity$/, 'verbosity'],
  [/^reasoning\.effort$/, 'reasoning_effort'],
];

/** This format adds no `stream_options`, so their rejection concerns the client's own. */
function inClientsWords<Read extends Pick<ReadError, 'code'> & { error?: ReadError['error'] }>(
  read: Read,
): Read {
  const { code, error } = read;
  const known = params.find(([pattern]) => pattern.test(error?.param ?? ''));
  return {
    ...read,
    code: code === 'stream_options_refused' ? 'upstream_rejected' : code,
    ...(known && error && { error: { ...error, param: error.param?.replace(...known) } }),
  };
}
