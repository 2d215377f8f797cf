import { expect, it } from 'vitest';
import { secretsIn, withAdditions } from './additions.ts';
import type { ProviderFormat } from './port.ts';
import { anthropicMessages } from './anthropic-messages/provider.ts';
import { openAiChat } from './openai-chat/provider.ts';

const baseUrl = 'https://x.openai.azure.com/openai/deployments/d';
const requestOf = (format: ProviderFormat) => {
  const made = format.request({
    baseUrl,
    apiKey: 'sk-1',
    body: '{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_tokens":5}',
    stream: false,
    model: 'm',
    prefill: false,
    identity: undefined,
    traceparent: undefined,
  });
  if ('code' in made) throw new Error(made.code);
  return made;
};

it('a format without additions is the same object', () => {
  expect(withAdditions(openAiChat, { auth: 'default', query: {}, headers: {} })).toBe(openAiChat);
});

it('each request has the query and the headers, and shows its key as the provider wants it', () => {
  const azure = withAdditions(openAiChat, {
    auth: 'api-key',
    query: { 'api-version': '2025-04-01', q: 'a b&c' },
    headers: { 'X-Team': 'red', 'User-Agent': 'mine' },
  });
  const models = azure.modelsRequest({ baseUrl, apiKey: 'sk-1' });
  const path = '/openai/deployments/d';
  const query = '?api-version=2025-04-01&q=a+b%26c';
  expect(models.path).toBe(`${path}/models${query}`);
  const { path: asked, headers } = requestOf(azure);
  expect(asked).toBe(`${path}/chat/completions${query}`);
  for (const one of [models.headers, headers]) {
    expect(one).toMatchObject({ 'api-key': 'sk-1', 'x-team': 'red', 'user-agent': 'mine' });
    expect(one).not.toHaveProperty('authorization');
  }
});

it('a bearer token takes the place of the header of another format', () => {
  const { headers } = requestOf(withAdditions(anthropicMessages, { auth: 'bearer' }));
  expect(headers).toMatchObject({ authorization: 'Bearer sk-1' });
  expect(headers).not.toHaveProperty('x-api-key');
  expect(headers).toHaveProperty('anthropic-version');
});

it('a query is added to the one that a format has itself', () => {
  const format: ProviderFormat = {
    ...openAiChat,
    modelsRequest: () => ({ path: '/models?alt=sse', headers: {} }),
  };
  const { path } = withAdditions(format, { query: { v: '1' } }).modelsRequest({
    baseUrl,
    apiKey: undefined,
  });
  expect(path).toBe('/models?alt=sse&v=1');
});

it('secrets are the values whose names say so', () => {
  const query = { 'api-version': '2025-04-01', sig: 'a1' };
  const headers = { Authorization: 'Basic dTpw', 'x-title': 'My app', 'X-Access-Token': 't1' };
  expect(secretsIn({ query, headers })).toEqual(['a1', 'Basic dTpw', 'dTpw', 't1']);
});
