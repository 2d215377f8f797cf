import { expect, it } from 'vitest';
import { statusOf, toOpenAiError } from './errors.ts';

const body = (type: string, message: string, more: Record<string, unknown> = {}) => ({
  type: 'error',
  error: { type, message, ...more },
  request_id: 'req_9',
});

it('keeps the type, the message and the request id', () => {
  expect(toOpenAiError(body('rate_limit_error', 'Slow down.'))).toEqual({
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
  expect(toOpenAiError(body(type, message))).toMatchObject({ type, message, code, param });
});

it('takes the code that an error has of its own', () => {
  const error = body('rate_limit_error', 'No.', { details: { error_code: 'ramp_limit_exceeded' } });
  expect(toOpenAiError(error)?.code).toBe('ramp_limit_exceeded');
});

it('knows the status of each documented type, for errors that come without one', () => {
  expect(statusOf('overloaded_error')).toBe(529);
  expect(statusOf('rate_limit_error')).toBe(429);
  expect(statusOf('toString')).toBeUndefined();
});

it.each([undefined, null, 'x', [], {}, { type: 'message' }])('finds no error in %j', (value) => {
  expect(toOpenAiError(value)).toBeUndefined();
});

it('survives errors of any shape', () => {
  expect(toOpenAiError({ error: 'busy' })?.message).toBe('busy');
  expect(toOpenAiError({ error: { type: 5, message: {} } })).toMatchObject({ code: null });
});
