import { expect, it } from 'vitest';
import { anthropicMessages } from './provider.ts';
import type { ProviderCall } from '../port.ts';

const call = (body: Record<string, unknown>, more: Partial<ProviderCall> = {}): ProviderCall => ({
  body: JSON.stringify({ messages: [{ role: 'user', content: 'Hi.' }], ...body }),
  stream: true,
  model: 'claude-sonnet-4-5',
  baseUrl: 'https://api.anthropic.com',
  apiKey: 'key-1',
  traceparent: undefined,
  prefill: false,
  identity: undefined,
  ...more,
});

it.each([
  ['https://api.anthropic.com', '/v1/messages'],
  ['https://api.anthropic.com/', '/v1/messages'],
  ['https://api.anthropic.com/v1', '/v1/messages'],
  ['https://proxy.example/anthropic', '/anthropic/v1/messages'],
])('the base URL %s leads to %s', (baseUrl, path) => {
  expect(anthropicMessages.request(call({}, { baseUrl }))).toMatchObject({
    path,
    headers: { 'x-api-key': 'key-1', 'anthropic-version': '2023-06-01' },
  });
});

it('what cannot be said in Anthropic is a fault of the target, with the member in its error', () => {
  expect(anthropicMessages.request(call({ n: 2 }))).toEqual({
    code: 'target_unsuited',
    httpStatus: 400,
    message: expect.stringContaining("'n'"),
    error: {
      message: expect.stringContaining("'n'"),
      type: 'invalid_request_error',
      param: 'n',
      code: 'unsupported_parameter',
    },
  });
});
