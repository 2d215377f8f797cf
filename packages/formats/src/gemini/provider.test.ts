import { expect, it } from 'vitest';
import type { ProviderCall } from '../port.ts';
import { gemini } from './provider.ts';

const call = (body: Record<string, unknown>, more: Partial<ProviderCall> = {}): ProviderCall => ({
  body: JSON.stringify({ messages: [{ role: 'user', content: 'Hi.' }], ...body }),
  stream: true,
  model: 'gemini-2.5-flash',
  baseUrl: 'https://generativelanguage.googleapis.com',
  apiKey: 'key-1',
  traceparent: undefined,
  prefill: false,
  identity: undefined,
  ...more,
});

const express = 'https://aiplatform.googleapis.com/v1/publishers/google';

it.each([
  [
    'https://generativelanguage.googleapis.com/',
    'gemini-2.5-flash',
    '/v1beta/models/gemini-2.5-flash',
  ],
  ['https://generativelanguage.googleapis.com/v1alpha', 'models/g', '/v1alpha/models/g'],
  ['https://proxy.example/google', 'tunedModels/my-1', '/google/v1beta/tunedModels/my-1'],
  [express, 'a?b', '/v1/publishers/google/models/a%3Fb'],
])('the base URL %s with the model %s leads to %s', (baseUrl, model, path) => {
  expect(gemini.request(call({}, { baseUrl, model }))).toMatchObject({
    path: `${path}:streamGenerateContent?alt=sse`,
    headers: { 'x-goog-api-key': 'key-1' },
  });
});

it('what Gemini cannot express is a fault of the target, with the member in its error', () => {
  expect(gemini.request(call({ logit_bias: { 5: 1 } }))).toMatchObject({
    code: 'target_unsuited',
    httpStatus: 400,
    error: { param: 'logit_bias', code: 'unsupported_parameter' },
  });
});

it('an error is shown without the details that name the operator’s project', () => {
  const text = JSON.stringify({
    error: {
      code: 429,
      message: 'Slow down.',
      status: 'RESOURCE_EXHAUSTED',
      details: [{ '@type': 'google.rpc.RetryInfo', retryDelay: '48s' }],
    },
  });
  expect(gemini.readError({ status: 429, headers: {}, text }, call({}))).toEqual({
    code: 'upstream_rate_limited',
    error: {
      message: 'Slow down.',
      type: 'rate_limit_error',
      param: null,
      code: 'rate_limit_exceeded',
    },
    retryAfterMs: 48_000,
  });
});
