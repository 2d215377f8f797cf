import type { Failed, OpenAiError } from '@millrace/shared/domain/entry';
import { fillRow, isFinal, noRetry, refuse, refuseFor, retrySeconds } from './errors.ts';
import type { CodeParams, ErrorCode, Refused } from './errors.ts';

/*
 * Errors of HTTP and WebSockets, made from the rows of errors.ts. For api/ and server/; the folders below
 * them return verdicts.
 */

/** An error with its HTTP status: the OpenAI error object for the client, and headers. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly error: OpenAiError;
  readonly headers: Record<string, string>;
  /** The reason under which the refusal is counted, and the key if it is not that of the request's principal. */
  readonly count: { readonly reason: string; readonly keyId?: string | undefined };

  constructor(
    status: number,
    error: OpenAiError,
    headers: Record<string, string> = {},
    { countAs, keyId }: { countAs?: string; keyId?: string | undefined } = {},
  ) {
    super(error.message);
    this.status = status;
    this.error = error;
    this.headers = headers;
    this.count = { reason: countAs ?? error.code ?? `status_${status}`, keyId };
  }
}

/** The error of a verdict. */
export function errorOf(refused: Refused): ApiError {
  const { status, error, headers } = fillRow(refused);
  return new ApiError(status, error, headers, refused.params);
}

/** The error of a code. The parameters are those of its message; details among them change single fields. */
export const apiError = <Code extends ErrorCode>(
  code: Code,
  ...params: CodeParams<Code>
): ApiError => errorOf(refuse(code, ...params));

/** The error as its answer has it: with the id of the answer, which is that of its request if it is about one. */
export const withRequestId = (error: OpenAiError, id: string): OpenAiError => ({
  request_id: id,
  ...error,
});

/** The error of a frame about a request that was found. */
export const aboutRequest = (thrown: unknown, id: string): ApiError => {
  const { status, error, headers, count } = toApiError(thrown);
  const { reason: countAs, keyId } = count;
  const about = new ApiError(status, withRequestId(error, id), headers, { countAs, keyId });
  about.cause = thrown;
  return about;
};

/** The error of a drain; it names the request, which continues. */
export function draining(id: string): ApiError {
  const { status, error, headers } = apiError('server_draining', { id });
  return new ApiError(status, { ...error, request_id: id }, headers);
}

/** The answer of a request that failed before its head was sent. */
export function fromFailed({ error, httpStatus, retryAfterMs }: Failed): ApiError {
  const headers: Record<string, string> = {};
  if (retryAfterMs !== undefined) headers['retry-after'] = retrySeconds(retryAfterMs);
  if (isFinal(error.code)) Object.assign(headers, noRetry);
  return new ApiError(httpStatus, error, headers);
}

/** Converts any error, also of fastify, to an ApiError. Messages of unknown errors are not sent to clients. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const status =
    error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : undefined;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return apiError('request_too_large');
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' || code === 'FST_ERR_CTP_EMPTY_TYPE') {
    return apiError('unsupported_content_type');
  }
  const refused = refuseFor(error);
  const isOfClient = status !== undefined && status >= 400 && status < 500;
  if (refused.code === 'internal_error' && error instanceof Error && isOfClient) {
    // Fastify writes its messages for clients; those of other libraries are for logs.
    const message = code.startsWith('FST_') ? error.message : notServed;
    return apiError('invalid_request', { message, status });
  }
  return errorOf(refused);
}

const notServed = 'The request cannot be served as it was sent.';
