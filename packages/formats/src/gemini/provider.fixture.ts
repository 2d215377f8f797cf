import type { ProviderExample } from '../provider-format.contract.ts';

const usageMetadata = { promptTokenCount: 9, candidatesTokenCount: 4, totalTokenCount: 13 };
const identity = { modelVersion: 'gemini-test-1', responseId: 'abc123' };
const error = {
  error: { code: 429, message: 'Slow down.', status: 'RESOURCE_EXHAUSTED', details: [] },
};

const event = (data: unknown): string => `data: ${JSON.stringify(data)}\n\n`;

const said = (text: string, more: object = {}) => ({
  candidates: [{ content: { parts: [{ text }], role: 'model' }, index: 0, ...more }],
  usageMetadata: { promptTokenCount: 9, totalTokenCount: 9 },
  ...identity,
});

const events = [
  said('Hello'),
  said(', 🌍'),
  { ...said('!', { finishReason: 'STOP' }), usageMetadata },
  { usageMetadata, ...identity },
];

export const geminiExample: ProviderExample = {
  baseUrl: 'https://api.example',
  paths: {
    models: '/v1beta/models?pageSize=1',
    request: '/v1beta/models/model-1:streamGenerateContent?alt=sse',
    whole: '/v1beta/models/model-1:generateContent',
  },
  asked: ({ path }) => ({
    model: /models\/([^:]+):/.exec(path)?.[1],
    stream: path.endsWith(':streamGenerateContent?alt=sse'),
  }),
  keyHeaders: { 'x-goog-api-key': 'sk-example' },
  events: events.map(event),
  eventsToFinish: 3,
  whole: JSON.stringify({ ...said('Hello, 🌍!', { finishReason: 'STOP' }), usageMetadata }),
  answer: { content: 'Hello, 🌍!', finishReason: 'stop', promptTokens: 9, completionTokens: 4 },
  damagedEvent: 'data: {"candidates":[{"content":{"parts":[{"te\n\n',
  rateLimit: { body: JSON.stringify(error), event: event(error) },
  quota: {
    headers: { 'x-ratelimit-remaining-requests': '5', 'x-ratelimit-remaining-tokens': '600' },
    requests: 5,
    tokens: 600,
  },
};
