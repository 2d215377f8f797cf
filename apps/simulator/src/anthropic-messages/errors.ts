import type { ErrorName, ErrorTable, ProviderError } from '../errors.ts';
import { errorFrom } from '../errors.ts';

const row = (status: number, type: string, message: string): ProviderError => ({
  status,
  type,
  message,
  code: null,
  param: null,
});

/**
 * Statuses, types and messages as Anthropic documents them, because clients depend on the messages: this API
 * has no codes. The `req_sim_…` beside them shows that they are simulated.
 */
const ERRORS: ErrorTable = {
  invalid_request: row(400, 'invalid_request_error', 'Invalid request'),
  context_length_exceeded: row(
    400,
    'invalid_request_error',
    'prompt is too long: 250000 tokens > 200000 maximum',
  ),
  content_filter: row(400, 'invalid_request_error', 'Output blocked by content filtering policy'),
  prefill_unsupported: row(
    400,
    'invalid_request_error',
    'This model does not support assistant message prefill. The conversation must end with a user message.',
  ),
  invalid_api_key: row(401, 'authentication_error', 'invalid x-api-key'),
  permission_denied: row(
    403,
    'permission_error',
    'Your API key does not have permission to use the specified resource.',
  ),
  model_not_found: row(404, 'not_found_error', 'model: not found'),
  timeout: row(408, 'timeout_error', 'Request timed out'),
  conflict: row(409, 'conflict_error', 'Conflict'),
  request_too_large: row(413, 'request_too_large', 'Request exceeds the maximum size'),
  unprocessable: row(422, 'invalid_request_error', 'Unprocessable entity'),
  rate_limit_exceeded: row(
    429,
    'rate_limit_error',
    "This request would exceed your account's rate limit. Please try again later.",
  ),
  // An account without credit is no rate limit here: the request is rejected.
  insufficient_quota: row(
    400,
    'invalid_request_error',
    'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.',
  ),
  server_error: row(500, 'api_error', 'Internal server error'),
  bad_gateway: row(502, 'api_error', 'Bad gateway'),
  overloaded: row(529, 'overloaded_error', 'Overloaded'),
  gateway_timeout: row(504, 'timeout_error', 'Request timed out'),
};

export function anthropicError(name: ErrorName | 'usual', status = 0): ProviderError {
  return errorFrom(ERRORS, name, status, (other) =>
    row(other, other < 500 ? 'invalid_request_error' : 'api_error', `HTTP ${other}`),
  );
}

export function errorBody({ type, message }: ProviderError, requestId: string): string {
  return JSON.stringify({ type: 'error', error: { type, message }, request_id: requestId });
}
