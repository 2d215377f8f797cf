import { expect, test } from 'vitest';
import { formatFor } from '../provider-formats.ts';
import type { ProviderCall } from '../port.ts';

const call: ProviderCall = {
  body: '{"input":"x","model":"alias"}',
  stream: false,
  model: 'm',
  baseUrl: 'https://api.example.com/v1',
  apiKey: 'k',
  traceparent: undefined,
  prefill: false,
  identity: undefined,
};
const embeddings = formatFor({ api: 'openai' }, '/v1/embeddings');
const rerank = formatFor({ api: 'openai' }, '/v1/rerank');
const read = (text: string) => embeddings?.readWhole(text, call);

test('a request goes to the API of its endpoint, with the model of the target', () => {
  expect(embeddings?.request(call)).toMatchObject({
    path: '/v1/embeddings',
    headers: { authorization: 'Bearer k', accept: 'application/json' },
    body: '{"input":"x","model":"m"}',
  });
  expect(formatFor({ api: 'anthropic' }, '/v1/embeddings')).toBeUndefined();
  expect(formatFor({ api: 'openai-responses' }, '/v1/rerank')).toBeUndefined();
});

test('an answer with results is complete, and its usage is that of its prompt', () => {
  expect(read('{"data":[1],"usage":{"prompt_tokens":3,"total_tokens":3}}')).toEqual({
    kind: 'completed',
    finishReason: null,
    usage: { prompt_tokens: 3, total_tokens: 3 },
  });
  expect(read('{"data":[1],"usage":{"total_tokens":3}}')).toMatchObject({
    usage: { prompt_tokens: 3, total_tokens: 3 },
  });
  const none = '{"results":[],"message":"nothing relevant"}';
  expect(rerank?.readWhole(none, call)).toMatchObject({ kind: 'completed' });
});

test.each([
  ['{"data":[]}', 'upstream_invalid_response'],
  ['{"results":[1]}', 'upstream_invalid_response'],
  ['{"data":[1', 'upstream_invalid_response'],
  ['{"data":[1],', 'upstream_invalid_response'],
  ['[1]', 'upstream_invalid_response'],
  ['', 'upstream_invalid_response'],
  ['<html>', 'upstream_invalid_response'],
  [`{"data":[1],"x":"${'x'.repeat(70_000)}"}`, 'upstream_invalid_response'],
  ['{"error":{"message":"no","type":"server_error"}}', 'upstream_server_error'],
  ['{"data":[1],"error":{"message":"no","type":"server_error"}}', 'upstream_server_error'],
])('an answer that is no result is a fault: %.40s', (text, code) => {
  expect(read(text)).toMatchObject({ kind: 'fault', fault: { code } });
});
