import type { ProviderExample } from '../provider-format.contract.ts';
import { chunk, events, identity, said } from './stream.fixture.ts';

const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 };
const error = {
  error: { message: 'Slow down.', type: 'requests', param: null, code: 'rate_limit_exceeded' },
};

export const openAiExample: ProviderExample = {
  baseUrl: 'https://api.example/v1',
  paths: { models: '/v1/models', request: '/v1/chat/completions' },
  keyHeaders: { authorization: 'Bearer sk-example' },
  events: [
    chunk({ role: 'assistant', content: '' }),
    said('Hello'),
    said(', 🌍'),
    said('!'),
    chunk({}, 'stop'),
    JSON.stringify({ ...identity, choices: [], usage }),
    '[DONE]',
  ].map((data) => events(data)),
  eventsToFinish: 5,
  whole: JSON.stringify({
    ...identity,
    object: 'chat.completion',
    choices: [
      { index: 0, message: { role: 'assistant', content: 'Hello, 🌍!' }, finish_reason: 'stop' },
    ],
    usage,
  }),
  answer: { content: 'Hello, 🌍!', finishReason: 'stop', promptTokens: 9, completionTokens: 4 },
  damagedEvent: events('{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"Hel'),
  rateLimit: { body: JSON.stringify(error), event: events(JSON.stringify(error)) },
  quota: {
    headers: { 'x-ratelimit-remaining-requests': '5', 'x-ratelimit-remaining-tokens': '600' },
    requests: 5,
    tokens: 600,
  },
};
