import type { OpenAiError } from '@millrace/shared/domain/entry';

/** Anthropic's error types, by status. */
const types: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  503: 'overloaded_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

const typeOf = (status: number): string =>
  types[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');

/** An error as Anthropic's API answers it. The code and the field at fault are additions. */
export const errorBody = (error: OpenAiError, status: number) => {
  const { message, param, code, request_id: requestId } = error;
  return {
    type: 'error',
    error: {
      type: typeOf(status),
      message,
      ...(code !== null && { code }),
      ...(param !== null && { param }),
    },
    request_id: requestId ?? null,
  };
};
