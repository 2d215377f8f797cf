import { errorOf } from '../openai-chat/chunk.ts';
import type { OpenAiError } from '@millrace/shared/domain/entry';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import { isJsonObject } from '@millrace/shared/domain/json';
import { asRead, judge, saidNothing } from '../errors/read-error.ts';
import type { Asked, ReadError } from '../errors/read-error.ts';
import { findReason, reasonInBody, saysWhy } from '../errors/reason.ts';
import type { Reason } from '../errors/reason.ts';

type ErrorType = { status: number; code: string | null };

/** Anthropic's error types, with the status of each and OpenAI's equivalent code. */
const errorTypes: Readonly<Record<string, ErrorType>> = {
  invalid_request_error: { status: 400, code: null },
  authentication_error: { status: 401, code: 'invalid_api_key' },
  billing_error: { status: 402, code: 'insufficient_quota' },
  permission_error: { status: 403, code: 'permission_denied' },
  not_found_error: { status: 404, code: 'not_found' },
  conflict_error: { status: 409, code: 'conflict' },
  request_too_large: { status: 413, code: 'request_too_large' },
  rate_limit_error: { status: 429, code: 'rate_limit_exceeded' },
  api_error: { status: 500, code: 'server_error' },
  timeout_error: { status: 504, code: 'timeout' },
  overloaded_error: { status: 529, code: 'overloaded' },
};

/** Matches `messages.0.content.1.text: …`: the member that an error concerns. */
const place = /^([a-z_]+(?:\.[a-z0-9_]+)*): /;

/** The error in the body of a response with this status. */
export function readError(status: number, text: string, asked: Asked = {}): ReadError {
  const reason = reasonInBody(text);
  // An error in place of an answer is passed with status 500, but its type is more exact.
  if (!reason) return saidNothing(status);
  const meant = status === 500 ? (statusOf(reason.type) ?? status) : status;
  return asRead(read(meant, reason, asked), reason);
}

/** The fault in a stream event, or in a body with status 200; undefined if there is none. */
export function errorFault(body: unknown, asked: Asked = {}): Fault | undefined {
  const reason = isError(body) ? findReason(body) : undefined;
  if (!reason) return undefined;
  const httpStatus = statusOf(reason.type);
  const { code, error, retryAfterMs } = read(httpStatus ?? 500, reason, asked);
  return {
    code,
    message: reason.error.message,
    ...(error && { error }),
    ...(httpStatus !== undefined && { httpStatus }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** Gateways in front of Anthropic send errors of their own; everything that Anthropic sends has a type. */
const isError = (body: unknown): boolean =>
  errorOf(body) !== undefined ||
  (isJsonObject(body) && body['type'] === undefined && saysWhy(body));

/** Reads the error by the shared table, with OpenAI's code and param for Anthropic's types. */
function read(status: number, reason: Reason, asked: Asked): ReadError {
  const { code: judged, ...judgement } = judge(status, reason, asked);
  // This format sends no `stream_options`: the message quotes the client's request.
  const read = {
    ...judgement,
    code: judged === 'stream_options_refused' ? ('upstream_rejected' as const) : judged,
  };
  const { type, error, told, requestId } = reason;
  const known =
    type !== undefined && Object.hasOwn(errorTypes, type) ? errorTypes[type] : undefined;
  const shown: OpenAiError = {
    message: error.message,
    type: type ?? 'upstream_error',
    param: error.param ?? params[read.code] ?? paramOf(type, error.message),
    code: codes[read.code] ?? detailCode(told['details']) ?? known?.code ?? error.code,
    ...(requestId !== undefined && { request_id: requestId }),
  };
  if (read.code !== 'target_unsuited' || shown.code !== null) return { ...read, error: shown };
  return { ...read, error: { ...shown, code: 'prefill_unsupported', param: 'messages' } };
}

/** OpenAI's codes for errors that Anthropic only describes in the message. */
const codes: Partial<Record<FaultCode, string>> = {
  context_length_exceeded: 'context_length_exceeded',
  content_filtered: 'content_filter',
  upstream_quota_exceeded: 'insufficient_quota',
  upstream_model_not_found: 'model_not_found',
};

/** The members that those errors concern. */
const params: Partial<Record<FaultCode, string>> = {
  context_length_exceeded: 'messages',
  upstream_model_not_found: 'model',
};

/** The status that an error of this type has; undefined for one that Anthropic does not document. */
const statusOf = (type: string | undefined): number | undefined =>
  type !== undefined && Object.hasOwn(errorTypes, type) ? errorTypes[type]?.status : undefined;

/** Newer errors have a code of their own beside the type. */
function detailCode(details: unknown): string | undefined {
  const code = isJsonObject(details) ? details['error_code'] : undefined;
  return typeof code === 'string' ? code : undefined;
}

const paramOf = (type: string | undefined, message: string): string | null =>
  type === 'invalid_request_error' ? (place.exec(message)?.[1] ?? null) : null;
