import { expect, it } from 'vitest';
import { toApiError } from './errors.ts';

const thrown = (message: string, more: object) => Object.assign(new Error(message), more);

it.each<[string, object, number, string]>([
  [
    'Fastify',
    { code: 'FST_ERR_CTP_INVALID_CONTENT_LENGTH', statusCode: 400 },
    400,
    'Request body size did not match Content-Length',
  ],
  [
    'a library',
    { code: 'ERR_HTTP_INVALID', statusCode: 400 },
    400,
    'The request cannot be served as it was sent.',
  ],
  ['the system', { code: 'EPIPE' }, 500, 'The server had an error while processing your request.'],
])('what %s has thrown is told without codes of the system', (_, more, status, message) => {
  const error = toApiError(thrown('Request body size did not match Content-Length', more));
  expect(error.status).toBe(status);
  expect(error.error.message).toBe(message);
});
