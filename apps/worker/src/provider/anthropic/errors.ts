import { errorOf } from '@millrace/shared/domain/chunk';
import type { OpenAiError } from '@millrace/shared/domain/entry';
import { classifyStatus } from '@millrace/shared/domain/fault';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import { isJsonObject } from '@millrace/shared/domain/json';

type ErrorType = { status: number; code: string | null };

/** Anthropic's types of errors, with the status that each has and OpenAI's code for the same. */
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

/** What Anthropic says in words only. The first that fits counts. */
const sayings: readonly { pattern: RegExp; code: string; param?: string }[] = [
  { pattern: /prompt is too long/i, code: 'context_length_exceeded', param: 'messages' },
  {
    pattern: /exceeds? (the )?context (limit|window)/i,
    code: 'context_length_exceeded',
    param: 'messages',
  },
  { pattern: /credit balance is too low/i, code: 'insufficient_quota' },
  { pattern: /(usage|spend|spending) limit/i, code: 'insufficient_quota' },
  { pattern: /content filtering policy/i, code: 'content_filter' },
  { pattern: /prefill/i, code: 'prefill_unsupported', param: 'messages' },
  { pattern: /^model: /i, code: 'model_not_found', param: 'model' },
];

/** `messages.0.content.1.text: …`: the member that an error is about. */
const place = /^([a-z_]+(?:\.[a-z0-9_]+)*): /;

/**
 * The error in a body or an event, as OpenAI would put it; undefined where there is none. The
 * message and the type are Anthropic's own.
 */
export function toOpenAiError(body: unknown): OpenAiError | undefined {
  const told = errorOf(body);
  if (!told) return undefined;
  const type = typeof told['type'] === 'string' ? told['type'] : 'upstream_error';
  const message =
    typeof told['message'] === 'string' ? told['message'] : 'The provider reported an error.';
  const saying = sayings.find(({ pattern }) => pattern.test(message));
  const requestId = isJsonObject(body) ? body['request_id'] : undefined;
  const error = {
    message,
    type,
    param: saying?.param ?? paramOf(type, message),
    code: saying?.code ?? detailCode(told['details']) ?? errorTypes[type]?.code ?? null,
    ...(typeof requestId === 'string' && { request_id: requestId }),
  };
  return error;
}

/** The error in the body of a response with this status. */
export function readError(
  status: number,
  text: string,
): { code: FaultCode; error: OpenAiError | undefined } {
  const error = toOpenAiError(parse(text));
  // An error in the place of an answer is read as if it came with a 500: its type knows better.
  const meant = status === 500 && error ? (statusOf(error.type) ?? status) : status;
  return { code: codeOf(meant, error), error };
}

/** The fault that an event in the stream, or a body with status 200, is; undefined where it is none. */
export function errorFault(body: unknown): Fault | undefined {
  const error = toOpenAiError(body);
  if (!error) return undefined;
  const httpStatus = statusOf(error.type);
  const fault: Fault = { code: codeOf(httpStatus ?? 500, error), message: error.message, error };
  return httpStatus === undefined ? fault : { ...fault, httpStatus };
}

/** What is beyond this target alone; others may take it. */
function codeOf(status: number, error: OpenAiError | undefined): FaultCode {
  const isOwn = error?.code === 'prefill_unsupported' || error?.code === 'request_too_large';
  return isOwn ? 'target_unsuited' : classifyStatus(status, error);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The status that an error of this type has; undefined for one that Anthropic does not document. */
const statusOf = (type: string): number | undefined =>
  Object.hasOwn(errorTypes, type) ? errorTypes[type]?.status : undefined;

/** Newer errors have a code of their own beside the type. */
function detailCode(details: unknown): string | undefined {
  const code = isJsonObject(details) ? details['error_code'] : undefined;
  return typeof code === 'string' ? code : undefined;
}

const paramOf = (type: string, message: string): string | null =>
  type === 'invalid_request_error' ? (place.exec(message)?.[1] ?? null) : null;
