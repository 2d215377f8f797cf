import type { ApiDescription } from '../openapi/client-api.ts';

const open = { type: 'object', additionalProperties: true };

/** Anthropic's Messages. */
export const description: ApiDescription = {
  name: 'Message',
  summary: 'Create a message',
  vendor: 'Anthropic',
  reference: 'https://docs.claude.com/en/api/messages',
  parameters: [
    {
      name: 'anthropic-beta',
      in: 'header',
      description: 'Features for a provider that speaks the format of Anthropic.',
      schema: { type: 'string' },
    },
  ],
  request: {
    type: 'object',
    properties: {
      model: { type: 'string', minLength: 1, description: 'One of `GET /v1/models`.' },
      max_tokens: { type: 'integer', minimum: 1 },
      messages: { type: 'array', minItems: 1, items: open },
      stream: { type: 'boolean', description: 'Whether the answer is a stream.' },
    },
    required: ['model', 'max_tokens', 'messages'],
    additionalProperties: true,
  },
  answer: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      type: { const: 'message' },
      role: { const: 'assistant' },
      model: { type: 'string' },
      content: { type: 'array', items: open },
      stop_reason: { type: ['string', 'null'] },
      usage: open,
    },
    required: ['type', 'role', 'content'],
    additionalProperties: true,
  },
  event: {
    description: 'The data of one event, whose name is its `type`.',
    type: 'object',
    properties: { type: { type: 'string' } },
    required: ['type'],
    additionalProperties: true,
  },
  error: {
    type: 'object',
    properties: {
      type: { const: 'error' },
      error: {
        type: 'object',
        properties: {
          type: { type: 'string' },
          message: { type: 'string' },
          code: { type: 'string' },
          param: { type: 'string' },
        },
        required: ['type', 'message'],
        additionalProperties: true,
      },
      request_id: { type: ['string', 'null'] },
    },
    required: ['type', 'error'],
    additionalProperties: true,
  },
  example: {
    model: 'simulated',
    max_tokens: 1024,
    messages: [{ role: 'user', content: 'Hello' }],
  },
};
