import type { ErrorName, ErrorTable, ProviderError } from '../errors.ts';
import { errorFrom } from '../errors.ts';

const row = (status: number, type: string, message: string): ProviderError => ({
  status,
  type,
  message,
  code: null,
  param: null,
});

const KEY_INVALID = 'API key not valid. Please pass a valid API key.';

/** Statuses, their names and messages as Google sends them, because clients depend on the messages. */
const ERRORS: ErrorTable = {
  invalid_request: row(400, 'INVALID_ARGUMENT', 'Request contains an invalid argument.'),
  context_length_exceeded: row(
    400,
    'INVALID_ARGUMENT',
    'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
  ),
  // A blocked prompt is an answer with status 200 here; other servers of this format reject it.
  content_filter: row(400, 'INVALID_ARGUMENT', 'The prompt violates usage guidelines.'),
  prefill_unsupported: row(
    400,
    'INVALID_ARGUMENT',
    'Requests ending with a model turn are not supported unless the last part is a function response.',
  ),
  invalid_api_key: row(400, 'INVALID_ARGUMENT', KEY_INVALID),
  permission_denied: row(403, 'PERMISSION_DENIED', 'The caller does not have permission'),
  model_not_found: row(
    404,
    'NOT_FOUND',
    'models/none is not found for API version v1beta, or is not supported for generateContent.',
  ),
  timeout: row(408, 'DEADLINE_EXCEEDED', 'The request timed out.'),
  conflict: row(409, 'ABORTED', 'The operation was aborted.'),
  request_too_large: row(413, 'INVALID_ARGUMENT', 'Request payload size exceeds the limit.'),
  unprocessable: row(422, 'INVALID_ARGUMENT', 'Unprocessable entity.'),
  rate_limit_exceeded: row(429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted.'),
  insufficient_quota: row(
    429,
    'RESOURCE_EXHAUSTED',
    'You exceeded your current quota: requests per day. Please check your plan and billing details.',
  ),
  server_error: row(500, 'INTERNAL', 'An internal error has occurred.'),
  bad_gateway: row(502, 'UNAVAILABLE', 'Bad gateway.'),
  overloaded: row(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
  gateway_timeout: row(
    504,
    'DEADLINE_EXCEEDED',
    'Deadline expired before the operation completed.',
  ),
};

export function geminiError(name: ErrorName | 'usual', status = 0): ProviderError {
  // Google answers a wrong key with 400, which is the usual status of other errors.
  const usual = name === 'usual' && status === 400 ? 'invalid_request' : name;
  return errorFrom(ERRORS, usual, status, (other) =>
    row(other, other < 500 ? 'INVALID_ARGUMENT' : 'UNKNOWN', `HTTP ${other}`),
  );
}

/** A `google.rpc.Status`, with the reason that shows that the key is at fault. */
export function errorBody({ status, type, message }: ProviderError): string {
  const reason = { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' };
  const details = message === KEY_INVALID ? { details: [reason] } : {};
  return JSON.stringify({ error: { code: status, message, status: type, ...details } });
}
