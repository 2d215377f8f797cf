import type { OpenAiError } from './entry.ts';

/**
 * Every way in which an upstream call can fail, in one table. A fault is a value: what to do about
 * it is decided from this table, never from a text.
 */
export const faultTable = {
  upstream_unreachable: { httpStatus: 502, type: 'upstream_error' },
  upstream_connect_timeout: { httpStatus: 504, type: 'upstream_error' },
  upstream_reset: { httpStatus: 502, type: 'upstream_error' },
  upstream_first_token_timeout: { httpStatus: 504, type: 'upstream_error' },
  upstream_idle_timeout: { httpStatus: 504, type: 'upstream_error' },
  upstream_timeout: { httpStatus: 504, type: 'upstream_error' },
  /** The provider answered with an error status; the status and the body are its own. */
  upstream_error_status: { httpStatus: 502, type: 'upstream_error' },
  /** An error object inside a stream that had begun. */
  upstream_error_event: { httpStatus: 502, type: 'upstream_error' },
  /** The stream ended before its answer did. */
  upstream_truncated: { httpStatus: 502, type: 'upstream_error' },
  /** A success status with something that is no answer: HTML, an empty body, the wrong type. */
  upstream_invalid_response: { httpStatus: 502, type: 'upstream_error' },
  upstream_response_too_large: { httpStatus: 502, type: 'upstream_error' },
  /** The answer broke off after the reader had been shown a part, and could not be continued. */
  upstream_failed_mid_stream: { httpStatus: 502, type: 'upstream_error' },
  /** The request's own deadline passed before it could be answered. */
  deadline_exceeded: { httpStatus: 504, type: 'invalid_request_error' },
  provider_not_configured: { httpStatus: 500, type: 'server_error' },
  internal_error: { httpStatus: 500, type: 'server_error' },
} as const;

export type FaultCode = keyof typeof faultTable;

export type Fault = {
  code: FaultCode;
  message: string;
  /** The provider's own status and error object, where it sent any. */
  httpStatus?: number;
  error?: OpenAiError;
  retryAfterMs?: number;
};

/** The error that a client sees for a fault: the provider's own where it sent one, else ours. */
export function faultToError(fault: Fault): { error: OpenAiError; httpStatus: number } {
  const row = faultTable[fault.code];
  return {
    error: fault.error ?? {
      message: fault.message,
      type: row.type,
      param: null,
      code: fault.code,
    },
    httpStatus: fault.httpStatus ?? row.httpStatus,
  };
}
