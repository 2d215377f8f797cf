import type { OpenAiError } from './entry.ts';

/**
 * Every way in which an attempt can fail, in one table. A fault is a value: code decides by its row, never by
 * a message. Only a provider's adapter interprets that provider's messages.
 */
export type FaultRow = {
  /** The client's status, unless the provider sent one that the client may see. */
  httpStatus: number;
  type: string;
  /** The party responsible, which decides what the client sees of it (`faultToError`). */
  party: Party;
  /**
   * How often the same target is asked again in the same way. After a part of the answer was delivered, only
   * if the target did not begin to answer, or is the only one.
   */
  again: number;
  /** Whether a pause before that helps. */
  pause: boolean;
  /** Whether another target may do better. Otherwise the client gets the error at once. */
  next: boolean;
  /** Whether it affects the target's health. */
  health: boolean;
};

/**
 * - `client`: the request cannot be served as it is; the client sees the provider's message.
 * - `operator`: this installation is misconfigured or its account is used up (a rejected key, an unknown
 *   model, no credit). The client can do nothing about it and sees a neutral message.
 * - `provider`: it failed; the client sees its last message.
 * - `proxy`: our own bounds and bugs, with our own message.
 */
export type Party = 'client' | 'operator' | 'provider' | 'proxy';

const row = (httpStatus: number, rest: Partial<FaultRow> = {}): FaultRow => ({
  httpStatus,
  type: httpStatus < 500 ? 'invalid_request_error' : 'upstream_error',
  party: httpStatus < 500 ? 'client' : 'provider',
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
  /** The provider closed a reused connection while it was idle, as the request was sent. */
  upstream_connection_stale: row(502, { again: 1, health: false }),
  /** All connections to it are in use: our own limit, not its fault. */
  upstream_pool_exhausted: row(503, { party: 'proxy', health: false }),
  /** This machine has no socket, file or permission left for a connection: not related to the provider. */
  local_resources_exhausted: row(503, { party: 'proxy', health: false }),
  upstream_first_token_timeout: row(504),
  upstream_idle_timeout: row(504),
  upstream_timeout: row(504),

  // An error status, or an error in the place of an answer.
  /**
   * Each key is paused separately, for as long as the provider asks. A provider that enforces limits is
   * healthy.
   */
  upstream_rate_limited: row(429, {
    type: 'rate_limit_error',
    party: 'provider',
    again: 2,
    pause: true,
    health: false,
  }),
  /** The account has no credit left: no pause brings it back. */
  upstream_quota_exceeded: row(502, { party: 'operator' }),
  upstream_overloaded: row(503, { again: 2, pause: true }),
  upstream_server_error: row(502, { again: 1, pause: true }),
  /** The proxy's own key, not the client's. */
  upstream_auth_failed: row(502, { party: 'operator' }),
  /** The provider does not have the model that the config names; the client requested an alias. */
  upstream_model_not_found: row(502, { party: 'operator' }),
  /** The provider does not have the model that the client named itself, through a wildcard. */
  model_not_found: row(404, { health: false }),
  /** A model with a larger context may accept it. */
  context_length_exceeded: row(400, { health: false }),
  /** A provider's verdict on the content: no other target is tried. */
  content_filtered: row(400, { next: false, health: false }),
  /** The request is invalid, and would be at every target. */
  upstream_rejected: row(400, { next: false, health: false }),
  /** This target does not support the request (a prefill, a field that its API lacks); others may. */
  target_unsuited: row(400, { health: false }),
  /** It rejected `stream_options`, which we had added: it is asked again without them. */
  stream_options_refused: row(502, { again: 1, health: false }),

  /** Its text did not continue the delivered answer. */
  no_continuation: row(502, { health: false }),

  // An unusable answer.
  upstream_truncated: row(502, { again: 1 }),
  upstream_invalid_response: row(502, { again: 1 }),
  /**
   * The model's output was no valid tool call or JSON for its provider: that does not affect the target's
   * health.
   */
  upstream_unusable_output: row(502, { again: 1, health: false }),
  upstream_response_too_large: row(502, { health: false }),

  // Ours.
  /** Its log has reached `limits.streamLog`: another target would only continue it. */
  response_too_large: row(502, {
    type: 'server_error',
    party: 'proxy',
    next: false,
    health: false,
  }),
  upstream_failed_mid_stream: row(502, { party: 'proxy', next: false, health: false }),
  deadline_exceeded: row(504, {
    type: 'invalid_request_error',
    party: 'client',
    next: false,
    health: false,
  }),
  /** Its cost might exceed the cap of its client (`x-millrace-max-cost`) at every target that could be asked. */
  max_cost_exceeded: row(400, { next: false, health: false }),
  /** Every target is broken, at its limit or held, and the wait for one has timed out. */
  no_target_available: row(503, {
    type: 'overloaded_error',
    party: 'proxy',
    next: false,
    health: false,
  }),
  /** An operator ended the attempt so that another target continues the answer. */
  moved: row(502, { type: 'server_error', party: 'proxy', health: false }),
  provider_not_configured: row(502, { party: 'operator', health: false }),
  internal_error: row(500, { type: 'server_error', party: 'proxy', next: false, health: false }),
} as const satisfies Record<string, FaultRow>;

export type FaultCode = keyof typeof faultTable;

export type Fault = {
  code: FaultCode;
  /** Our own message for the client, without names, addresses and system error codes. */
  message: string;
  /** The provider's own status and error object, if it sent any. */
  httpStatus?: number;
  error?: OpenAiError;
  /** The exact message or event, for logs and the ledger. Never for the client, no secrets. */
  detail?: string;
  /** The wait that the provider asked for. */
  retryAfterMs?: number;
  /** Another request has reported the loss of the same connection. */
  isEcho?: true;
};

/** The message that a client sees for an operator's fault, which it can neither understand nor fix. */
export const operatorsWords = (code: FaultCode): string =>
  code === 'upstream_auth_failed'
    ? 'The provider did not authorize this server. Its operator finds the reason in the log.'
    : 'The provider could not be asked as this server is set up. Its operator finds the reason in the log.';

/** The error that a client sees for a fault, by the responsible party. */
export function faultToError(fault: Fault): { error: OpenAiError; httpStatus: number } {
  const { party, type, httpStatus } = faultTable[fault.code];
  const ours = (message: string) => ({ message, type, param: null, code: fault.code });
  if (party === 'operator') return { error: ours(operatorsWords(fault.code)), httpStatus };
  const isSeen = fault.httpStatus !== undefined && maySee(party, fault.httpStatus);
  return {
    error: fault.error ?? ours(fault.message),
    httpStatus: isSeen ? (fault.httpStatus ?? httpStatus) : httpStatus,
  };
}

/**
 * A status implies a responsible party, so a provider's own status is passed on only if it implies the right
 * one.
 */
const maySee = (party: Party, status: number): boolean =>
  party === 'client'
    ? status >= 400 && status < 500 && !operatorsStatuses.has(status)
    : status === 429 || (status >= 500 && status < 600);

/** Statuses that a client would relate to its own key, model name or rate. */
const operatorsStatuses: ReadonlySet<number> = new Set([401, 402, 403, 404, 407, 429]);

/**
 * Classifies an error status by OpenAI's codes in its error object and by the status. Adapters first
 * translate their provider's codes to these.
 */
export function classifyStatus(status: number, error: OpenAiError | undefined): FaultCode {
  for (const word of [error?.code, error?.type]) {
    const code = typeof word === 'string' && Object.hasOwn(codes, word) ? codes[word] : undefined;
    if (code) return code;
  }
  if (status === 402) return 'upstream_quota_exceeded';
  if (status === 429) return 'upstream_rate_limited';
  if (status === 401 || status === 403) return 'upstream_auth_failed';
  if (status === 404) return 'upstream_model_not_found';
  // Another provider may accept a larger request.
  if (status === 413) return 'target_unsuited';
  if (status === 408 || status === 409) return 'upstream_server_error';
  if (status === 503 || status === 529) return 'upstream_overloaded';
  if (status >= 500) return 'upstream_server_error';
  return status >= 400 ? 'upstream_rejected' : 'upstream_invalid_response';
}

/** OpenAI's codes and types that mean the same under every status. */
const codes: Readonly<Record<string, FaultCode>> = {
  context_length_exceeded: 'context_length_exceeded',
  string_above_max_length: 'context_length_exceeded',
  content_filter: 'content_filtered',
  content_policy_violation: 'content_filtered',
  ResponsibleAIPolicyViolation: 'content_filtered',
  insufficient_quota: 'upstream_quota_exceeded',
  billing_hard_limit_reached: 'upstream_quota_exceeded',
  billing_not_active: 'upstream_quota_exceeded',
  invalid_api_key: 'upstream_auth_failed',
  model_not_found: 'upstream_model_not_found',
  rate_limit_exceeded: 'upstream_rate_limited',
  overloaded_error: 'upstream_overloaded',
};
