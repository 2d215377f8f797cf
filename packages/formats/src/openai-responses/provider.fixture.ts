import type { ProviderExample } from '../provider-format.contract.ts';
import {
  completed,
  created,
  inProgress,
  inStream,
  message,
  numbered,
  response,
  text,
  usage,
} from './events.fixture.ts';

const error = {
  error: { message: 'Slow down.', type: 'requests', param: null, code: 'rate_limit_exceeded' },
};

const events = numbered([
  created,
  inProgress,
  ...text(0, 'Hello', ', 🌍', '!'),
  completed(message('Hello, 🌍!')),
]);

export const responsesExample: ProviderExample = {
  baseUrl: 'https://api.example/v1',
  paths: { models: '/v1/models', request: '/v1/responses' },
  keyHeaders: { authorization: 'Bearer sk-example' },
  events: events.map(inStream),
  eventsToFinish: events.length,
  whole: JSON.stringify(response({ status: 'completed', output: [message('Hello, 🌍!')], usage })),
  answer: { content: 'Hello, 🌍!', finishReason: 'stop', promptTokens: 9, completionTokens: 4 },
  damagedEvent:
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,"delta":"Hel\n\n',
  rateLimit: {
    body: JSON.stringify(error),
    event: inStream({ type: 'error', sequence_number: 9, ...error }),
  },
  quota: {
    headers: { 'x-ratelimit-remaining-requests': '5', 'x-ratelimit-remaining-tokens': '600' },
    requests: 5,
    tokens: 600,
  },
};
