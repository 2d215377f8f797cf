import { readFileSync } from 'node:fs';
import { expect, it, test } from 'vitest';
import { apiError, fromFailed, toApiError } from './api-error.ts';
import { errorTable } from './errors.ts';

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

const api = readFileSync(new URL('../../../docs/api.md', import.meta.url), 'utf8');

it.each(Object.entries(errorTable).filter(([, row]) => !('unnamed' in row)))(
  'docs/api.md has a row with the status of the code %s',
  (code, { status }) => {
    const row = api
      .split('\n')
      .find((line) => line.startsWith('|') && line.includes(`\`${code}\``));
    // Where the error comes in a stream only, the status was sent before.
    const shown = code === 'reader_too_slow' ? 'in a stream only' : String(status);
    expect(row).toContain(shown);
  },
);

test('an error has the status, type, parameter and headers of its row, changed by its details', () => {
  const reused = apiError('idempotency_key_reused');
  expect(reused).toMatchObject({ status: 409, headers: { 'x-should-retry': 'false' } });
  expect(reused.error).toEqual({
    message: 'This Idempotency-Key was used before, for another request.',
    type: 'invalid_request_error',
    param: 'Idempotency-Key',
    code: 'idempotency_key_reused',
  });
  const shed = { own: true, retryAfterMs: 1500, expectedWaitMs: 12_340, retryAfter: 2 };
  const full = apiError('queue_full', { reason: 'jobs', ...shed, status: 429 });
  expect(full).toMatchObject({ status: 429, headers: { 'retry-after': '2' } });
  expect(full.message).toBe(
    'Too many requests wait. The expected wait is 12.3 s. Try again in 2 s.',
  );
  const unnamed = apiError('invalid_value', { param: 'x', expected: "'a'" });
  expect(unnamed.error).toMatchObject({ code: null, message: "Invalid 'x': expected 'a'." });
});

test('a header tells SDKs not to repeat a request that failed for good', () => {
  const failed = (code: string | null) =>
    fromFailed({ error: { message: '', type: '', param: null, code }, httpStatus: 500 }).headers;
  for (const code of [
    'request_cancelled',
    'deadline_exceeded',
    'idempotency_key_reused',
    'cursor_ahead',
    'poisoned_request',
  ]) {
    expect(failed(code)).toEqual({ 'x-should-retry': 'false' });
  }
  for (const code of ['job_failed', 'toString', null]) expect(failed(code)).toEqual({});
});
