import type { Failed, OpenAiError } from '@millrace/shared/domain/entry';
import { passesByItself } from '@millrace/shared/store/redis-failure';
import type { LimitVerdict } from './admission/quota-verdict.ts';
import type { LocalRefusal } from './auth/local-only.ts';
import type { GoneReason } from './delivery/relay.ts';

/** An error that a client is told: the OpenAI error object with its HTTP status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly error: OpenAiError;
  readonly headers: Record<string, string>;
  /** As a refusal, where it was made: by a reason that says more than its code. */
  counted = false;

  constructor(status: number, error: OpenAiError, headers: Record<string, string> = {}) {
    super(error.message);
    this.status = status;
    this.error = error;
    this.headers = headers;
  }
}

/** The request is at fault. `param`: the field, where there is one. */
export const invalidRequest = (
  message: string,
  options: {
    param?: string | undefined;
    code?: string;
    status?: number;
    headers?: Record<string, string>;
  } = {},
): ApiError =>
  new ApiError(
    options.status ?? 400,
    {
      message,
      type: 'invalid_request_error',
      param: options.param ?? null,
      code: options.code ?? null,
    },
    options.headers,
  );

export const notFound = (message: string, code: string, param?: string): ApiError =>
  invalidRequest(message, { status: 404, code, param });

export const notUtf8 = (): ApiError =>
  invalidRequest('The request body is not valid UTF-8.', { code: 'invalid_json' });

/** `status`: 400 for one that cannot be decoded, 414 for one with a part that is too long. */
export const badUrl = (url: string, status = 400): ApiError =>
  invalidRequest(`Invalid request URL: ${url.slice(0, 200)}.`, { status, code: 'invalid_url' });

export const unauthorized = (message: string): ApiError =>
  new ApiError(
    401,
    { message, type: 'invalid_request_error', param: null, code: 'invalid_api_key' },
    { 'www-authenticate': 'Bearer' },
  );

export const forbidden = (message: string, code: string): ApiError =>
  new ApiError(403, { message, type: 'invalid_request_error', param: null, code });

/** `because`: what the config lacks, for others than this machine to be served; `section`: where. */
export function notLocal(reason: LocalRefusal, because: string, section: string): ApiError {
  const what = {
    loopback_only: 'so only loopback may use this',
    foreign_page:
      'so pages of other sites may not use this, nor names that were made to point here',
    untrusted_proxy:
      'so only loopback may use this, and this request came through a proxy whose word on its client ' +
      `is not believed: name the proxy in listen.trustedProxies (it has to send x-forwarded-for), or configure '${section}'`,
  }[reason];
  return forbidden(`${because}, ${what}.`, reason);
}

/** We cannot serve now; the client may try again after the given seconds. */
export const unavailable = (message: string, code: string, retryAfterSeconds: number): ApiError =>
  new ApiError(
    503,
    { message, type: 'server_error', param: null, code },
    { 'retry-after': String(retryAfterSeconds) },
  );

/** A limit of the key is reached. OpenAI's SDKs wait as long as `retry-after-ms` says. */
export function rateLimited({
  by,
  message,
  retryAfterMs,
  headers,
}: Extract<LimitVerdict, { kind: 'limited' }>): ApiError {
  const type = by === 'tokens' ? 'tokens' : 'requests';
  return new ApiError(
    429,
    { message, type, param: null, code: 'rate_limit_exceeded' },
    {
      ...headers,
      'retry-after': String(Math.ceil(retryAfterMs / 1000)),
      'retry-after-ms': String(Math.ceil(retryAfterMs)),
    },
  );
}

/** Redis does not answer, or not for now. */
export const queueUnavailable = (): ApiError =>
  unavailable('The queue does not answer; try again later.', 'queue_unavailable', 2);

export const shuttingDown = (): ApiError =>
  unavailable('This server shuts down; try again.', 'server_shutting_down', 1);

/**
 * A stop of this server cut the answer short, and its request runs on: read under its id, or asked for
 * again with the same Idempotency-Key, it is there.
 */
export const draining = (id: string): ApiError =>
  new ApiError(
    503,
    {
      message: `This server is being stopped. The request goes on: read its answer with GET /v1/jobs/${id} or /v1/jobs/${id}/events, or send it again with the same Idempotency-Key.`,
      type: 'server_error',
      param: null,
      code: 'server_draining',
      request_id: id,
    },
    { 'retry-after': '1' },
  );

/** What a second try cannot change, whatever their status says to an SDK. */
const final = new Set<string | null>([
  'request_cancelled',
  'deadline_exceeded',
  'idempotency_key_reused',
  'cursor_ahead',
  'poisoned_request',
]);

/** How a request that failed before its head was sent answers. */
export function fromFailed(failed: Failed): ApiError {
  const headers: Record<string, string> = {};
  if (failed.retryAfterMs !== undefined) {
    headers['retry-after'] = String(Math.ceil(failed.retryAfterMs / 1000));
  }
  // OpenAI's SDKs would make the same request again.
  if (final.has(failed.error.code)) headers['x-should-retry'] = 'false';
  return new ApiError(failed.httpStatus, failed.error, headers);
}

export const cancelledError: OpenAiError = {
  message: 'The request was cancelled.',
  type: 'invalid_request_error',
  param: null,
  code: 'request_cancelled',
};

/** The end of a request whose workers died or hung, one after the other, while they took it up. */
export const poisoned: Failed = {
  error: {
    message:
      'The request was given up: each of the workers that took it up died or hung. It will not be tried again.',
    type: 'server_error',
    param: null,
    code: 'poisoned_request',
  },
  httpStatus: 500,
};

/** The last words to a reader whose connection stood still. */
export const slowReader: OpenAiError = {
  message: 'The connection was ended because its reader took nothing for too long.',
  type: 'invalid_request_error',
  param: null,
  code: 'reader_too_slow',
};

/** The last words to a reader whose stream came to the end of its life, or was lost with Redis. */
export const streamLost: OpenAiError = {
  message: 'The stream cannot be read any further.',
  type: 'server_error',
  param: null,
  code: 'stream_lost',
};

/** The end of an answer did not come within its model's timeout, nor at the deadline: Redis is away or takes no writes. */
export const answerOverdue: OpenAiError = {
  message: 'The end of the answer did not come within the time that the request may take.',
  type: 'server_error',
  param: null,
  code: 'answer_overdue',
};

/** The error that ends a reader whose stream gives no more. */
export const goneError = (reason: GoneReason): OpenAiError =>
  reason === 'overdue' ? answerOverdue : streamLost;

/** A cursor behind the end of its stream, of a reader that cannot take back what it was shown. */
export const cursorAhead = (): ApiError =>
  invalidRequest(
    'There is no such entry in this stream: ask for it anew, without a Last-Event-ID.',
    {
      status: 410,
      param: 'Last-Event-ID',
      code: 'cursor_ahead',
      headers: { 'x-should-retry': 'false' },
    },
  );

export const jobNotFound = (id: string): ApiError =>
  notFound(
    `There is no request '${id.slice(0, 100)}' that this key may see.`,
    'job_not_found',
    'id',
  );

/** Fastify's own refusals and whatever else was thrown, as an ApiError. Texts of unknown errors stay inside. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const status =
    error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : undefined;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return invalidRequest('The request body is larger than this server takes.', {
      status: 413,
      code: 'request_too_large',
    });
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' || code === 'FST_ERR_CTP_EMPTY_TYPE') {
    return invalidRequest("The request body must have the content type 'application/json'.", {
      status: 415,
      code: 'unsupported_content_type',
    });
  }
  if (error instanceof Error && isOutOfMemory(error)) {
    return unavailable('The queue is out of memory; try again later.', 'queue_full', 5);
  }
  if (passesByItself(error)) return queueUnavailable();
  if (error instanceof Error && status !== undefined && status >= 400 && status < 500) {
    // Fastify writes its messages for clients; those of any other library are for logs.
    const isFastifys = code.startsWith('FST_');
    return invalidRequest(isFastifys ? error.message : notServed, { status });
  }
  const message = 'The server had an error while processing your request.';
  return new ApiError(500, { message, type: 'server_error', param: null, code: 'internal_error' });
}

const notServed = 'The request cannot be served as it was sent.';

/** Redis refuses writes above its memory limit with this word first. */
const isOutOfMemory = (error: Error): boolean => error.message.startsWith('OOM');
