/** An error of a provider; `code` and `param` are OpenAI's, and null elsewhere. */
export interface ProviderError {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;
  readonly message: string;
}

const row = (
  status: number,
  type: string,
  code: string | null,
  message: string,
  param: string | null = null,
): ProviderError => ({ status, type, code, param, message: `${message} (simulated)` });

/** Statuses, types and codes as OpenAI documents them; messages in its style, marked as simulated. */
const ERRORS = {
  invalid_request: row(400, 'invalid_request_error', null, 'The request is invalid.'),
  context_length_exceeded: row(
    400,
    'invalid_request_error',
    'context_length_exceeded',
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    'messages',
  ),
  content_filter: row(
    400,
    'invalid_request_error',
    'content_filter',
    "The response was filtered due to the prompt triggering the provider's content management policy.",
    'prompt',
  ),
  prefill_unsupported: row(
    400,
    'invalid_request_error',
    'unsupported_value',
    'This model does not support assistant message prefill. The conversation must end with a user message.',
    'messages',
  ),
  invalid_api_key: row(
    401,
    'invalid_request_error',
    'invalid_api_key',
    'Incorrect API key provided.',
  ),
  permission_denied: row(
    403,
    'invalid_request_error',
    'unsupported_country_region_territory',
    'Permission denied.',
  ),
  model_not_found: row(
    404,
    'invalid_request_error',
    'model_not_found',
    'The model does not exist.',
    'model',
  ),
  timeout: row(408, 'server_error', 'timeout', 'The request timed out.'),
  conflict: row(409, 'conflict_error', null, 'Conflict.'),
  request_too_large: row(
    413,
    'invalid_request_error',
    'request_too_large',
    'The request is too large.',
  ),
  unprocessable: row(422, 'invalid_request_error', null, 'Unprocessable entity.'),
  rate_limit_exceeded: row(
    429,
    'requests',
    'rate_limit_exceeded',
    'Rate limit reached for requests.',
  ),
  insufficient_quota: row(
    429,
    'insufficient_quota',
    'insufficient_quota',
    'You exceeded your current quota.',
  ),
  server_error: row(
    500,
    'server_error',
    null,
    'The server had an error while processing your request.',
  ),
  bad_gateway: row(502, 'server_error', null, 'Bad gateway.'),
  overloaded: row(503, 'server_error', 'overloaded', 'The engine is currently overloaded.'),
  gateway_timeout: row(504, 'server_error', null, 'Gateway timeout.'),
} satisfies Readonly<Record<string, ProviderError>>;

/** The name of an error in a model name, in every wire format. */
export type ErrorName = keyof typeof ERRORS;
export type ErrorTable = Readonly<Record<ErrorName, ProviderError>>;

export const ERROR_NAMES = Object.keys(ERRORS) as readonly ErrorName[];

/** An error by its name, or the usual one of a status; with both, the named error with this status. */
export function errorFrom(
  table: ErrorTable,
  name: ErrorName | 'usual',
  status: number,
  otherwise: (status: number) => ProviderError,
): ProviderError {
  const usual = Object.values(table).find((error) => error.status === status);
  const error = name === 'usual' ? (usual ?? otherwise(status)) : table[name];
  return status === 0 ? error : { ...error, status };
}

/** OpenAI's own errors. */
export function openAiError(name: ErrorName | 'usual', status = 0): ProviderError {
  return errorFrom(ERRORS, name, status, (other) =>
    row(other, 'api_error', null, `HTTP ${other}.`),
  );
}

export function isProviderError(value: object): value is ProviderError {
  return 'status' in value && 'message' in value;
}
