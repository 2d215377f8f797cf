import type { Failed, OpenAiError } from '@millrace/shared/domain/entry';
import { isOutOfMemory, passesByItself } from '@millrace/shared/store/redis-failure';
import { StoreSilent } from '@millrace/shared/store/outage';

/*
 * Every error that an ingress sends, in one table; docs/api.md lists its codes. All other folders of the
 * ingress may import it, and it imports none of them. Folders below api/ and server/ return a row as a
 * verdict (`refuse`); api/ and server/ turn it into an error of HTTP or WebSockets (api-error.ts).
 */

type Row = {
  status: number;
  type:
    | 'invalid_request_error'
    | 'server_error'
    | 'rate_limit_error'
    | 'requests'
    | 'insufficient_quota';
  /** The same request may succeed later. */
  retryable: boolean;
  /** The text for the client, or a function of the parameters that `apiError` gets. */
  message: string | ((params: never) => string);
  /** The field or the header at fault, if it is always the same. */
  param?: string;
  /** Clients see `code: null`. */
  unnamed?: true;
  headers?: Readonly<Record<string, string>>;
};

const invalid = { status: 400, type: 'invalid_request_error', retryable: false } as const;
const forbidden = { ...invalid, status: 403 } as const;
const failed = { status: 500, type: 'server_error', retryable: true } as const;
const unavailable = { status: 503, type: 'server_error', retryable: true } as const;
const tooMany = { status: 429, type: 'invalid_request_error', retryable: true } as const;

/** OpenAI's SDKs decide by the status whether to repeat a request, unless this header forbids it. */
export const noRetry = { 'x-should-retry': 'false' } as const;

/** The header that asks a client to wait. */
const after = (seconds: number) => ({ 'retry-after': String(seconds) });

type Local = { because: string; section: string };

/** Amounts are in USD. */
type CapExceeded = {
  cap: string;
  estimate: string;
  input: number;
  output: number;
  isBounded: boolean;
};

type Shed = { own: boolean; expectedWaitMs: number | undefined; retryAfterMs: number };

export const retrySeconds = (ms: number): string => String(Math.ceil(ms / 1000));

/** `what`: the reason, followed by the expected wait and when to try again. */
function shedText(what: string, { expectedWaitMs, retryAfterMs }: Shed): string {
  const expected =
    expectedWaitMs === undefined
      ? ''
      : ` The expected wait is ${(expectedWaitMs / 1000).toFixed(1)} s.`;
  return `${what}${expected} Try again in ${retrySeconds(retryAfterMs)} s.`;
}

const queueFullTexts = {
  jobs: 'Too many requests wait.',
  bytes: 'The requests that wait hold too many bytes.',
};

const keyTexts = {
  missing: 'You did not provide an API key: send it as a bearer token in the Authorization header.',
  incorrect: 'Incorrect API key provided.',
  rotated: 'This secret of the API key was replaced, and is not valid any more.',
  required: 'This server needs an API key by now: connect again with one.',
  late: 'No key was shown in time.',
  too_long: 'A key is not as long as this message.',
  token_expired: 'The read token has expired.',
  token_invalid: 'The read token is not good for this stream.',
};

const foreignPageTexts = {
  api: 'Pages of this site may not use this server: its config does not name them.',
  admin: 'Pages of other sites may not use the admin pages.',
};

const invalidJsonTexts = {
  not_utf8: 'The request body is not valid UTF-8.',
  frame: 'The frame is not valid JSON.',
};

const busyTexts = {
  bodies: 'This server holds as many request bodies as it may.',
  views: 'This server makes as many of these as it may.',
};

export const errorTable = {
  // The request itself.
  invalid_request: {
    ...invalid,
    unnamed: true,
    message: ({ message }: { message: string }) => message,
  },
  invalid_value: {
    ...invalid,
    unnamed: true,
    message: ({ param, expected }: { param: string; expected: string }) =>
      `Invalid '${param}': expected ${expected}.`,
  },
  invalid_json: {
    ...invalid,
    message: (params: { what: keyof typeof invalidJsonTexts } | { what: 'body'; reason: string }) =>
      params.what === 'body'
        ? `The request body is not valid JSON${params.reason}.`
        : invalidJsonTexts[params.what],
  },
  invalid_type: {
    ...invalid,
    message: ({ param, expected, found }: { param: string; expected: string; found: string }) =>
      `Invalid type for '${param}': expected ${expected}, but got ${found} instead.`,
  },
  missing_required_parameter: {
    ...invalid,
    message: ({ param }: { param: string }) => `Missing required parameter: '${param}'.`,
  },
  unknown_parameter: {
    ...invalid,
    message: ({ param }: { param: string }) => `Unknown parameter: '${param}'.`,
  },
  empty_array: {
    ...invalid,
    message: ({ param }: { param: string }) =>
      `Invalid '${param}': empty array. Expected an array with minimum length 1.`,
  },
  metadata_too_large: {
    ...invalid,
    param: 'metadata',
    message: ({ maxChars }: { maxChars: number }) =>
      `'metadata' is longer than ${maxChars} characters.`,
  },
  webhooks_off: {
    ...invalid,
    param: 'webhook',
    message: "This server sends no webhooks: its operator has not configured 'webhooks'.",
  },
  deadline_passed: {
    ...invalid,
    message: ({ param }: { param: string }) => `Invalid '${param}': it has passed.`,
  },
  invalid_cursor: {
    ...invalid,
    message: ({ param }: { param: string }) =>
      `Invalid '${param}': expected an entry id of this request, as it was sent with an event.`,
  },
  invalid_idempotency_key: {
    ...invalid,
    message: ({ param, maxBytes }: { param: string; maxBytes: number }) =>
      `Invalid '${param}': expected one key of 1 to ${maxBytes} bytes in UTF-8, without control characters.`,
  },
  unknown_frame_type: {
    ...invalid,
    param: 'type',
    message: ({ frameType, expected }: { frameType: string; expected: string }) =>
      `Unknown frame type ${frameType}: expected ${expected}.`,
  },
  request_too_deep: {
    ...invalid,
    message: ({ depth }: { depth: number }) =>
      `The request is nested more than ${depth} levels deep.`,
  },
  request_too_complex: {
    ...invalid,
    status: 413,
    message: ({ values }: { values: number }) =>
      `The request has more than ${values} JSON values and names of members.`,
  },
  request_too_large: {
    ...invalid,
    status: 413,
    message: 'The request body is larger than this server takes.',
  },
  unsupported_content_type: {
    ...invalid,
    status: 415,
    message: "The request body must have the content type 'application/json'.",
  },
  unsupported_content_encoding: {
    ...invalid,
    status: 415,
    message: 'The request body must not be compressed: send it without a content-encoding.',
    headers: { 'accept-encoding': 'identity' },
  },

  // HTTP.
  invalid_http: { ...invalid, message: ({ message }: { message: string }) => message },
  invalid_url: {
    ...invalid,
    message: ({ url }: { url: string }) => `Invalid request URL: ${url.slice(0, 200)}.`,
  },
  unknown_url: {
    ...invalid,
    status: 404,
    message: ({ method, path, served }: { method: string; path: string; served?: string }) =>
      `Unknown request URL: ${method} ${path}.${served === undefined ? '' : ` Served here: ${served}.`}`,
  },
  method_not_supported: {
    ...invalid,
    status: 405,
    message: ({ method, path }: { method: string; path?: string }) =>
      path === undefined ? `${method} is not served here.` : `Not allowed to ${method} on ${path}.`,
  },
  request_timeout: {
    ...invalid,
    status: 408,
    retryable: true,
    message: 'The request did not arrive in time.',
  },
  request_head_too_large: {
    ...invalid,
    status: 431,
    message: 'The request head is larger than this server takes.',
  },
  upgrade_required: {
    ...invalid,
    status: 426,
    message: ({ message }: { message: string }) => message,
  },
  client_gone: { ...invalid, status: 499, message: 'The client went away.' },

  // Authentication.
  invalid_api_key: {
    ...invalid,
    status: 401,
    message: ({ problem }: { problem: keyof typeof keyTexts }) => keyTexts[problem],
    headers: { 'www-authenticate': 'Bearer' },
  },
  api_key_revoked: {
    ...invalid,
    status: 401,
    message: 'This API key was revoked.',
    headers: { 'www-authenticate': 'Bearer' },
  },
  api_key_expired: {
    ...invalid,
    status: 401,
    message: 'This API key has expired.',
    headers: { 'www-authenticate': 'Bearer' },
  },
  admin_only: {
    ...invalid,
    status: 401,
    message: ({ isUnset = false }: { isUnset?: boolean }) =>
      isUnset
        ? "No admin is configured, and clients need a key, so keys cannot be changed: set 'admin' in the config."
        : 'Admin pages need the user and the password of the config.',
  },
  /** Or it is of another password. */
  session_expired: {
    ...invalid,
    status: 401,
    message: 'Your session has ended: log in again.',
  },
  wrong_password: { ...invalid, status: 401, message: 'The user or the password is wrong.' },
  too_many_logins: {
    ...tooMany,
    message: ({ seconds }: { seconds: number }) =>
      `Too many wrong passwords came from your address: try again in ${seconds} s.`,
  },
  no_admin: {
    ...invalid,
    status: 409,
    message:
      "No admin is configured, so these pages need no login, and answer this machine only: set 'admin' in the config.",
  },
  no_control_plane: {
    ...unavailable,
    message:
      'No control plane runs in this fleet: start one (npm run admin). Streams are served without it.',
  },
  control_plane_silent: {
    ...unavailable,
    message: 'The control plane does not answer. Streams are served without it.',
  },
  address_not_allowed: {
    ...forbidden,
    message: 'This API key may not be used from your address.',
  },
  foreign_page: {
    ...forbidden,
    message: (params: { of: keyof typeof foreignPageTexts } | ({ of: 'local' } & Local)) =>
      params.of === 'local'
        ? `${params.because}, so pages of other sites may not use this, nor names that were made to point here.`
        : foreignPageTexts[params.of],
  },
  loopback_only: {
    ...forbidden,
    message: ({ because }: Local) => `${because}, so only loopback may use this.`,
  },
  untrusted_proxy: {
    ...forbidden,
    message: ({ because, section }: Local) =>
      `${because}, so only loopback may use this, and this request came through a proxy whose word on its client ` +
      `is not believed: name the proxy in listen.trustedProxies (it has to send x-forwarded-for), or configure '${section}'.`,
  },
  priority_not_allowed: {
    ...forbidden,
    message: ({ highest }: { highest: string }) =>
      `This API key may ask for the priority '${highest}' at most.`,
  },

  // Objects that a request names.
  model_not_found: {
    ...invalid,
    status: 404,
    param: 'model',
    message: ({ model }: { model: string }) =>
      `The model '${model.slice(0, 200)}' does not exist or you do not have access to it.`,
  },
  job_not_found: {
    ...invalid,
    status: 404,
    param: 'id',
    message: ({ id }: { id: string }) =>
      `There is no request '${id.slice(0, 100)}' that this key may see.`,
  },
  job_expired: {
    ...invalid,
    status: 410,
    param: 'id',
    message: ({ id }: { id: string }) => `The request '${id}' is past its retention.`,
  },
  previous_response_not_found: {
    ...invalid,
    status: 404,
    param: 'previous_response_id',
    message: ({ id }: { id: string }) =>
      `There is no response '${id.slice(0, 100)}' that this key may continue, or it was not stored.`,
    headers: noRetry,
  },
  /** A cursor after the end of its stream, from a reader that cannot take back text. `last`: of a stream whose events have numbers. */
  cursor_ahead: {
    ...invalid,
    status: 410,
    param: 'Last-Event-ID',
    message: ({ last }: { last?: number }) =>
      last === undefined
        ? 'There is no such entry in this stream: ask for it anew, without a Last-Event-ID.'
        : `The last event of this stream has the number ${last}.`,
    headers: noRetry,
  },
  idempotency_key_reused: {
    ...invalid,
    status: 409,
    param: 'Idempotency-Key',
    message: 'This Idempotency-Key was used before, for another request.',
    headers: noRetry,
  },

  // The cap on the cost. Official SDKs do not repeat a 400.
  max_cost_exceeded: {
    ...invalid,
    param: 'x-millrace-max-cost',
    message: ({ cap, estimate, input, output, isBounded }: CapExceeded) =>
      `The request may cost $${estimate} at its cheapest target, more than its cap of $${cap}: about ${input} tokens ` +
      (isBounded
        ? `of input, and at most ${output} of output.`
        : `of input, and ${output} of output, because it has no 'max_tokens'.`),
  },
  price_unknown: {
    ...invalid,
    param: 'x-millrace-max-cost',
    message: ({ model }: { model: string }) =>
      `The request has a cap on its cost, but the price of the model '${model.slice(0, 200)}' is unknown: ` +
      `send it without a cap, or let the operator set 'price' for its targets.`,
  },

  // Limits and load.
  /** A limit of the key. OpenAI's SDKs wait for `retry-after-ms`; `type` names the limit. */
  rate_limit_exceeded: {
    status: 429,
    type: 'requests',
    retryable: true,
    message: ({ message }: { message: string }) => message,
  },
  /** A budget of the key; it is renewed, but not while a client waits. The code and the type are OpenAI's. */
  insufficient_quota: {
    status: 429,
    type: 'insufficient_quota',
    retryable: false,
    message: ({ message }: { message: string }) => message,
    headers: noRetry,
  },
  /** Nothing is left of a budget of the key until requests under way have ended. */
  budget_reserved: {
    status: 429,
    type: 'requests',
    retryable: true,
    message: ({ message }: { message: string }) => message,
  },
  /** `budgets.onLedgerDown: closed`. */
  budget_unconfirmed: {
    ...unavailable,
    message:
      'The budget of this API key cannot be checked, because the control plane has not confirmed what was spent; try again later.',
  },
  too_many_connections: {
    status: 429,
    type: 'requests',
    retryable: true,
    message: ({ of }: { of: 'address' | 'key' }) =>
      `${of === 'address' ? 'Your address' : 'This API key'} has as many connections open as it may.`,
    headers: { ...after(1), connection: 'close' },
  },
  too_many_requests_on_connection: {
    ...tooMany,
    message: ({ max }: { max: number }) => `A connection may have ${max} requests under way.`,
    headers: { ...after(1), connection: 'close' },
  },
  /** The codes of OpenAI's WebSocket mode, on which its clients connect again. */
  websocket_connection_limit_reached: {
    ...invalid,
    message: 'This WebSocket has been open as long as it may, for 60 minutes: open a new one.',
  },
  websocket_stream_limit_reached: {
    ...invalid,
    param: 'stream_id',
    message: ({ max }: { max: number }) =>
      `This WebSocket has used ${max} values of 'stream_id', as many as it may: use one of them again, or open a new WebSocket.`,
  },
  too_many_requests_on_socket: {
    ...tooMany,
    message: ({ max }: { max: number }) =>
      `This socket has ${max} requests open, as many as it may.`,
  },
  queue_full: {
    ...unavailable,
    message: (params: { reason: 'memory' } | ({ reason: keyof typeof queueFullTexts } & Shed)) =>
      params.reason === 'memory'
        ? 'The queue is out of memory; try again later.'
        : shedText(queueFullTexts[params.reason], params),
    headers: after(5),
  },
  queue_share_exceeded: {
    ...unavailable,
    message: (params: Shed) => shedText('Too many requests of this API key wait.', params),
  },
  queue_wait_too_long: {
    ...unavailable,
    message: (params: Shed) =>
      shedText(
        params.own
          ? 'Requests of this API key wait too long already.'
          : 'Requests wait too long already.',
        params,
      ),
  },
  deadline_unreachable: {
    ...unavailable,
    message: (params: Shed) => shedText('The request would not start before its deadline.', params),
  },
  ingress_overloaded: {
    ...unavailable,
    message: ({ cause }: { cause: string }) =>
      `This server has more to do than it can: ${cause}. Try again later, or ask another one.`,
  },
  server_busy: {
    ...unavailable,
    message: ({ with: what }: { with: keyof typeof busyTexts }) => busyTexts[what],
    headers: after(1),
  },
  /** Redis does not answer. */
  queue_unavailable: {
    ...unavailable,
    message: 'The queue does not answer; try again later.',
    headers: after(2),
  },
  server_shutting_down: {
    ...unavailable,
    message: 'This server takes no new requests, because it is draining; try again.',
    headers: after(1),
  },
  /** A drain cut the answer short, and the request continues. */
  server_draining: {
    ...unavailable,
    message: ({ id }: { id: string }) =>
      `This server is being stopped. The request goes on: read its answer with GET /v1/jobs/${id} or /v1/jobs/${id}/events, or send it again with the same Idempotency-Key.`,
    headers: after(1),
  },

  token_unavailable: {
    ...invalid,
    status: 409,
    message:
      'No read token can be made for this job: the key that created it is not valid any more, or it was created without one.',
    headers: noRetry,
  },

  // The end of a request or of its stream.
  request_cancelled: {
    ...invalid,
    status: 409,
    message: 'The request was cancelled.',
    headers: noRetry,
  },
  request_ended: {
    ...invalid,
    status: 409,
    message: ({ id, endedAs }: { id: string; endedAs: string }) =>
      `'${id}' cannot be cancelled: it ended as '${endedAs}'.`,
    headers: noRetry,
  },
  deadline_exceeded: {
    ...invalid,
    status: 504,
    message: 'The deadline of the request passed before it could be answered.',
    headers: noRetry,
  },
  poisoned_request: {
    ...failed,
    retryable: false,
    message:
      'The request was given up: each of the workers that took it up died or hung. It will not be tried again.',
    headers: noRetry,
  },
  job_removed: { ...failed, message: 'The request was removed from the queue.' },
  job_failed: {
    ...failed,
    message: 'The request was given up by the queue: its workers died too often.',
  },
  reader_too_slow: {
    ...invalid,
    retryable: true,
    message: 'The connection was ended because its reader took nothing for too long.',
  },
  /** The stream has expired, or Redis lost it. */
  stream_lost: { ...failed, message: 'The stream cannot be read any further.' },
  /**
   * The end arrived neither within the model's timeout nor by the deadline, because Redis is unreachable or
   * refuses writes.
   */
  answer_overdue: {
    ...failed,
    status: 504,
    message: 'The end of the answer did not come within the time that the request may take.',
  },
  internal_error: {
    ...failed,
    message: 'The server had an error while processing your request.',
  },
} as const satisfies Record<string, Row>;

export type ErrorCode = keyof typeof errorTable;

export type Params<Code extends ErrorCode> = (typeof errorTable)[Code]['message'] extends (
  params: infer P,
) => string
  ? P
  : object;

/** Fields of one error that differ from the row of its code. */
export type Details = {
  /** The field at fault, if the table does not name it. */
  param?: string;
  /** In place of the status of the table. */
  status?: number;
  /** In place of the type of the table. */
  type?: string;
  /** Seconds. */
  retryAfter?: number;
  /** In addition to those of the table. */
  headers?: Record<string, string>;
  /** The reason under which the refusal is counted, if it is more exact than the code. */
  countAs?: string;
  /** The refused key, if its request has no principal. */
  keyId?: string | undefined;
};

/** The parameters of a code's message, and the details; optional if the message has no parameters. */
export type CodeParams<Code extends ErrorCode> =
  object extends Params<Code> ? [(Params<Code> & Details)?] : [Params<Code> & Details];

/** The verdict against a request: a row of the table with the parameters of its message. */
export type Refused = {
  readonly kind: 'refused';
  readonly code: ErrorCode;
  readonly params: Details;
};

export const refuse = <Code extends ErrorCode>(
  code: Code,
  ...[params]: CodeParams<Code>
): Refused => ({ kind: 'refused', code, params: params ?? {} });

/** A row with its parameters filled in. */
export type FilledRow = { status: number; error: OpenAiError; headers: Record<string, string> };

export function fillRow({ code, params }: Refused): FilledRow {
  const row: Row = errorTable[code];
  const { param, status, type, retryAfter, headers } = params;
  return {
    status: status ?? row.status,
    error: {
      message: typeof row.message === 'string' ? row.message : row.message(params as never),
      type: type ?? row.type,
      param: param ?? row.param ?? null,
      code: row.unnamed ? null : code,
    },
    headers: { ...row.headers, ...(retryAfter === undefined ? {} : after(retryAfter)), ...headers },
  };
}

/** The refusal as the end of a request in its log. */
export function asFailed(refused: Refused): Failed {
  const { error, status, headers } = fillRow(refused);
  const seconds = headers['retry-after'];
  return {
    error,
    httpStatus: status,
    ...(seconds === undefined ? {} : { retryAfterMs: Number(seconds) * 1000 }),
  };
}

/** Whether the row of a code forbids SDKs to repeat the request. */
export function isFinal(code: string | null): boolean {
  if (code === null || !Object.hasOwn(errorTable, code)) return false;
  const { headers }: Row = errorTable[code as ErrorCode];
  return headers === noRetry;
}

/** The verdict for a request that Redis refused or did not answer, or on which this server failed. */
export function refuseFor(error: unknown): Refused {
  if (isOutOfMemory(error)) return refuse('queue_full', { reason: 'memory' });
  if (error instanceof StoreSilent || passesByItself(error)) return refuse('queue_unavailable');
  return refuse('internal_error');
}

/** The verdict for a reader that the relay has ended. */
export const refuseGone = (reason: 'expired' | 'broken' | 'overdue'): Refused =>
  refuse(reason === 'overdue' ? 'answer_overdue' : 'stream_lost');
