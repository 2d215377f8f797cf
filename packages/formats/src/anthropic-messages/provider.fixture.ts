import type { ProviderExample } from '../provider-format.contract.ts';
import { messageDelta, messageStart, messageStop, text } from './events.fixture.ts';
import type { WireEvent } from './events.fixture.ts';

const usage = { input_tokens: 9, output_tokens: 4 };
const error = { type: 'error', error: { type: 'rate_limit_error', message: 'Slow down.' } };

const inStream = (event: WireEvent): string =>
  `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;

const events = [
  messageStart({ usage: { ...usage, output_tokens: 1 } }),
  ...text(0, 'Hello', ', 🌍', '!'),
  { ...messageDelta('end_turn'), usage },
  messageStop,
];

export const anthropicExample: ProviderExample = {
  baseUrl: 'https://api.example',
  paths: { models: '/v1/models', request: '/v1/messages' },
  keyHeaders: { 'x-api-key': 'sk-example', 'anthropic-version': '2023-06-01' },
  events: events.map(inStream),
  eventsToFinish: events.length - 1,
  whole: JSON.stringify({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-test-1',
    content: [{ type: 'text', text: 'Hello, 🌍!' }],
    stop_reason: 'end_turn',
    usage,
  }),
  answer: { content: 'Hello, 🌍!', finishReason: 'stop', promptTokens: 9, completionTokens: 4 },
  damagedEvent:
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"te\n\n',
  rateLimit: { body: JSON.stringify(error), event: inStream(error) },
  quota: {
    headers: {
      'anthropic-ratelimit-requests-remaining': '5',
      'anthropic-ratelimit-tokens-remaining': '600',
    },
    requests: 5,
    tokens: 600,
  },
};
