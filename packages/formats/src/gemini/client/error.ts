import type { OpenAiError } from '@millrace/shared/domain/entry';

/** The names of Google's statuses, by the HTTP status. */
const names: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  408: 'DEADLINE_EXCEEDED',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

const nameOf = (status: number): string =>
  names[status] ?? (status < 500 ? 'INVALID_ARGUMENT' : 'UNAVAILABLE');

/** An error as Google's APIs answer it: a `google.rpc.Status`. The code, the field and the request are its details. */
export const errorBody = (
  { message, param, code, request_id: id }: OpenAiError,
  status: number,
) => ({
  error: {
    code: status,
    message,
    status: nameOf(status),
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: (code ?? nameOf(status)).toUpperCase(),
        domain: 'millrace',
        metadata: { ...(param !== null && { param }), ...(id !== undefined && { requestId: id }) },
      },
    ],
  },
});
