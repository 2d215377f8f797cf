import type { OpenAiError } from './entry.ts';

/**
 * Every way in which an attempt can fail, in one table. A fault is a value: what to do about it is
 * decided from its row, never from a text. Only a provider's adapter reads its provider's texts.
 */
export type FaultRow = {
  /** For the client, where the provider gave no status of its own. */
  httpStatus: number;
  type: string;
  /**
   * How often the same target is asked again in the same way. After a part of the answer was shown only
   * where it did not begin to answer, or is the only one.
   */
  again: number;
  /** Whether a pause before that helps. */
  pause: boolean;
  /** Whether another target may do better. Otherwise the client is told at once. */
  next: boolean;
  /** Whether it says something about the target's health. */
  health: boolean;
};

const row = (httpStatus: number, rest: Partial<FaultRow> = {}): FaultRow => ({
  httpStatus,
  type: httpStatus < 500 ? 'invalid_request_error' : 'upstream_error',
  again: 0,
  pause: false,
  next: true,
  health: true,
  ...rest,
});

export const faultTable = {
  // No answer.
  upstream_unreachable: row(502, { again: 1, pause: true }),
  upstream_connect_timeout: row(504),
  /** Its certificate is not valid, not pinned, or not for this name. */
  upstream_tls_failed: row(502),
  upstream_reset: row(502, { again: 1 }),
  /** A kept connection that the provider closed while it was idle: the request met the closing. */
  upstream_connection_stale: row(502, { again: 1, health: false }),
  /** All connections to it are in use: our own bound, not its fault. */
  upstream_pool_exhausted: row(503, { health: false }),
  /** This machine has no socket, file or permission left for a connection: says nothing of the provider. */
  local_resources_exhausted: row(503, { health: false }),
  upstream_first_token_timeout: row(504),
  upstream_idle_timeout: row(504),
  upstream_timeout: row(504),

  // An error status, or an error in the place of an answer.
  /** Its keys pause by themselves, each for as long as it was told to; whoever counts is well. */
  upstream_rate_limited: row(429, {
    type: 'rate_limit_error',
    again: 2,
    pause: true,
    health: false,
  }),
  /** Out of money: no pause brings it back. */
  upstream_quota_exceeded: row(429, { type: 'insufficient_quota' }),
  upstream_overloaded: row(503, { again: 2, pause: true }),
  upstream_server_error: row(502, { again: 1, pause: true }),
  /** The proxy's own key, not the client's. */
  upstream_auth_failed: row(502),
  upstream_model_not_found: row(404),
  /** A larger model may take it. */
  context_length_exceeded: row(400, { health: false }),
  /** A provider's verdict on what was asked: never routed around. */
  content_filtered: row(400, { next: false, health: false }),
  /** The request is at fault, and will be everywhere. */
  upstream_rejected: row(400, { next: false, health: false }),
  /** This target cannot be asked this way (a prefill, a field that it cannot express); others may. */
  target_unsuited: row(400, { health: false }),

  /** Its text did not go on from what was shown. */
  no_continuation: row(502, { health: false }),

  // An answer that is none.
  upstream_truncated: row(502, { again: 1 }),
  upstream_invalid_response: row(502, { again: 1 }),
  upstream_response_too_large: row(502, { health: false }),

  // Ours.
  /** Its log holds as much as `limits.streamLog` allows: another target would only go on with it. */
  response_too_large: row(502, { type: 'server_error', next: false, health: false }),
  upstream_failed_mid_stream: row(502, { next: false, health: false }),
  deadline_exceeded: row(504, { type: 'invalid_request_error', next: false, health: false }),
  /** Every target is broken or at its limit, and the patience for that is over. */
  no_target_available: row(503, { type: 'overloaded_error', next: false, health: false }),
  provider_not_configured: row(500, { type: 'server_error', health: false }),
  internal_error: row(500, { type: 'server_error', next: false, health: false }),
} as const satisfies Record<string, FaultRow>;

export type FaultCode = keyof typeof faultTable;

export type Fault = {
  code: FaultCode;
  message: string;
  /** The provider's own status and error object, where it sent any. */
  httpStatus?: number;
  error?: OpenAiError;
  /** The provider's own wish. */
  retryAfterMs?: number;
  /** Another request has told of the same loss (of the connection that they shared). */
  isEcho?: true;
};

/** The error that a client sees for a fault: the provider's own where it sent one, else ours. */
export function faultToError(fault: Fault): { error: OpenAiError; httpStatus: number } {
  const { type, httpStatus } = faultTable[fault.code];
  return {
    error: fault.error ?? { message: fault.message, type, param: null, code: fault.code },
    httpStatus: fault.httpStatus ?? httpStatus,
  };
}

/**
 * What an error status means, by the status and the codes in its error object. Adapters call it after
 * they have turned what their provider only says in words into a code.
 */
export function classifyStatus(status: number, error: OpenAiError | undefined): FaultCode {
  const words = new Set([error?.code, error?.type]);
  const says = (...codes: string[]) => codes.some((code) => words.has(code));
  if (says('context_length_exceeded', 'string_above_max_length')) return 'context_length_exceeded';
  if (says('content_filter', 'content_policy_violation', 'ResponsibleAIPolicyViolation')) {
    return 'content_filtered';
  }
  if (says('insufficient_quota', 'billing_hard_limit_reached') || status === 402) {
    return 'upstream_quota_exceeded';
  }
  if (status === 429) return 'upstream_rate_limited';
  if (status === 401 || status === 403) return 'upstream_auth_failed';
  if (status === 404) return 'upstream_model_not_found';
  if (status === 408 || status === 409) return 'upstream_server_error';
  if (status === 503 || status === 529 || says('overloaded_error')) return 'upstream_overloaded';
  if (status >= 500) return 'upstream_server_error';
  return status >= 400 ? 'upstream_rejected' : 'upstream_invalid_response';
}
