import { expect, it } from 'vitest';
import { errorFault, readError } from './errors.ts';

const body = (type: string, message: string, more: Record<string, unknown> = {}) => ({
  type: 'error',
  error: { type, message, ...more },
  request_id: 'req_9',
});

const errorIn = (answer: unknown) => errorFault(answer)?.error;

it('keeps the type, the message and the request id', () => {
  expect(errorIn(body('rate_limit_error', 'Slow down.'))).toEqual({
    message: 'Slow down.',
    type: 'rate_limit_error',
    param: null,
    code: 'rate_limit_exceeded',
    request_id: 'req_9',
  });
});

it.each([
  [
    'invalid_request_error',
    'prompt is too long: 208310 tokens > 200000 maximum',
    'context_length_exceeded',
    'messages',
  ],
  [
    'invalid_request_error',
    'input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000',
    'context_length_exceeded',
    'messages',
  ],
  [
    'invalid_request_error',
    'Your credit balance is too low to access the Anthropic API.',
    'insufficient_quota',
    null,
  ],
  [
    'invalid_request_error',
    'You have reached your specified API usage limits.',
    'insufficient_quota',
    null,
  ],
  [
    'invalid_request_error',
    'This model does not support assistant message prefill. The conversation must end with a user message.',
    'prefill_unsupported',
    'messages',
  ],
  ['invalid_request_error', 'Output blocked by content filtering policy', 'content_filter', null],
  [
    'invalid_request_error',
    'messages.1.content.0.text: Field required',
    null,
    'messages.1.content.0.text',
  ],
  [
    'invalid_request_error',
    'max_tokens: 99999 > 8192, which is the maximum allowed number of output tokens',
    null,
    'max_tokens',
  ],
  ['not_found_error', 'model: claude-none', 'model_not_found', 'model'],
  ['authentication_error', 'invalid x-api-key', 'invalid_api_key', null],
  ['overloaded_error', 'Overloaded', 'overloaded', null],
  ['newer_error', 'What?', null, null],
])('reads %s "%s" as %s about %s', (type, message, code, param) => {
  expect(errorIn(body(type, message))).toMatchObject({ type, message, code, param });
});

it('takes the code that an error has of its own', () => {
  const error = body('rate_limit_error', 'No.', { details: { error_code: 'ramp_limit_exceeded' } });
  expect(errorIn(error)?.code).toBe('ramp_limit_exceeded');
});

it.each([
  [400, 'invalid_request_error', 'messages: Field required', 'upstream_rejected'],
  [400, 'invalid_request_error', 'prompt is too long: 9 tokens > 8', 'context_length_exceeded'],
  [400, 'invalid_request_error', 'Output blocked by content filtering policy', 'content_filtered'],
  [400, 'invalid_request_error', 'Your credit balance is too low', 'upstream_quota_exceeded'],
  [400, 'invalid_request_error', 'This model does not support prefill.', 'target_unsuited'],
  [401, 'authentication_error', 'invalid x-api-key', 'upstream_auth_failed'],
  [402, 'billing_error', 'No.', 'upstream_quota_exceeded'],
  [403, 'permission_error', 'No.', 'upstream_auth_failed'],
  [404, 'not_found_error', 'model: claude-none', 'upstream_model_not_found'],
  [413, 'request_too_large', 'Request exceeds the maximum size', 'target_unsuited'],
  [429, 'rate_limit_error', 'Slow down.', 'upstream_rate_limited'],
  [500, 'api_error', 'Internal server error', 'upstream_server_error'],
  [502, 'api_error', 'Bad gateway', 'upstream_server_error'],
  [504, 'timeout_error', 'Request timed out', 'upstream_server_error'],
  [529, 'overloaded_error', 'Overloaded', 'upstream_overloaded'],
])('takes status %i with %s "%s" for %s, as an event too', (status, type, message, code) => {
  expect(readError(status, JSON.stringify(body(type, message)))).toMatchObject({
    code,
    error: { type, message },
  });
  const fault = errorFault(body(type, message));
  expect(fault).toMatchObject({ code, message, error: { type, message } });
});

it('goes by the type where an error came in the place of an answer', () => {
  expect(readError(500, JSON.stringify(body('rate_limit_error', 'No.'))).code).toBe(
    'upstream_rate_limited',
  );
  expect(errorFault(body('overloaded_error', 'No.'))?.httpStatus).toBe(529);
  expect(errorFault({ error: { type: 'toString', message: 'No.' } })).toEqual({
    code: 'upstream_server_error',
    message: 'No.',
    error: { message: 'No.', type: 'toString', param: null, code: null },
  });
});

it('goes by the status where the body is none of Anthropic', () => {
  expect(readError(503, '<html>')).toEqual({ code: 'upstream_overloaded', error: undefined });
  expect(readError(429, '')).toEqual({ code: 'upstream_rate_limited', error: undefined });
});

it.each([undefined, null, 'x', [], {}, { type: 'message' }])('finds no error in %j', (value) => {
  expect(errorIn(value)).toBeUndefined();
});

it('survives errors of any shape', () => {
  expect(errorIn({ error: 'busy' })?.message).toBe('busy');
  expect(errorIn({ error: { type: 5, message: {} } })).toMatchObject({ code: null });
});
