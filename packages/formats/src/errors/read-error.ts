import type { OpenAiError } from '@millrace/shared/domain/entry';
import { classifyStatus, faultTable } from '@millrace/shared/domain/fault';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import type { Headers } from '../port.ts';
import { readRetryAfter } from '../rate-limits.ts';
import { meaningOf } from './dialects.ts';
import { findReason, reasonInBody } from './reason.ts';
import type { Reason } from './reason.ts';
import { retryTimeIn } from './retry-time.ts';

/** The meaning of an error response. */
export type ReadError = {
  code: FaultCode;
  /** In OpenAI's form, if the provider sent an error object. */
  error: OpenAiError | undefined;
  /** The text of a body that is not JSON, on one line. */
  words?: string;
  /** Milliseconds that the provider asks to wait. */
  retryAfterMs?: number;
};

/** Context for reading an error. */
export type Asked = {
  /** The request that it answers, as JSON text: quotations of it are not the provider's own text. */
  body?: string;
  /** Milliseconds since the epoch. */
  now?: number;
};

/** The error in the body of a response with this status, whatever its form. */
export function readErrorBody(status: number, text: string, asked: Asked = {}): ReadError {
  const reason = reasonInBody(text);
  return reason ? asRead(judge(status, reason, asked), reason) : saidNothing(status);
}

export const saidNothing = (status: number): ReadError => ({
  code: classifyStatus(status, undefined),
  error: undefined,
});

/** Of a page or a plain text only the text is useful: the error object is ours. */
export const asRead = (
  read: ReadError,
  { isText, said }: Reason & { isText: boolean },
): ReadError => (isText ? { ...read, error: undefined, words: said } : read);

/** The fault of an error inside an answer: in a body with status 200, or in an event of a stream. */
export function faultInAnswer(error: unknown, asked: Asked = {}): Fault {
  const reason = findReason(error);
  if (!reason) return { code: 'upstream_server_error', message: silent };
  const status = statusIn(reason);
  const { code, error: told, retryAfterMs } = judge(status ?? 500, reason, asked);
  return {
    code,
    message: told?.message ?? silent,
    ...(told && { error: told }),
    ...(status !== undefined && { httpStatus: status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** A header takes precedence, because providers round times in messages. */
export function withRetryAfter(read: ReadError, headers: Headers, now = Date.now()): ReadError {
  const retryAfterMs = readRetryAfter(headers, now);
  return retryAfterMs === undefined ? read : { ...read, retryAfterMs };
}

/** As `readErrorBody`, for a reason that was found in another way. */
export function judge(
  status: number,
  reason: Reason,
  { body = '', now = Date.now() }: Asked,
): ReadError {
  const { error, type, codes, said } = reason;
  const code = meaningOf(status, codes, said, body) ?? classifyStatus(status, error);
  const retryAfterMs = retryTimeIn(reason, now);
  const isOpenAis = classifyStatus(200, { ...error, type: '' }) === code;
  const read: OpenAiError = {
    ...error,
    type: type ?? faultTable[code].type,
    code: isOpenAis ? error.code : (openAiCodes[code] ?? realCode(error)),
  };
  return { code, error: read, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

const silent = 'The provider reported an error.';

/** The codes that clients branch on, whatever the provider's own code. */
const openAiCodes: Partial<Record<FaultCode, string>> = {
  context_length_exceeded: 'context_length_exceeded',
  content_filtered: 'content_filter',
  upstream_rate_limited: 'rate_limit_exceeded',
};

/** The status that an error without one of its own contains, or that its type implies. */
function statusIn({ told, error, type }: Reason): number | undefined {
  const named = [told['status_code'], told['status'], error.code].map(numberOf).find(isErrorStatus);
  return named ?? (type === 'invalid_request_error' ? 400 : undefined);
}

/** `Number` throws on some objects. */
const numberOf = (value: unknown): number =>
  typeof value === 'string' || typeof value === 'number' ? Number(value) : NaN;

const isErrorStatus = (status: number): boolean => status >= 400 && status < 600;

/** Some providers repeat the status as the code, which is useless for branching. */
const realCode = ({ code }: OpenAiError): string | null =>
  isErrorStatus(Number(code)) ? null : code;
