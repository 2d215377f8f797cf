import type { ApiDescription } from '../openapi/client-api.ts';

const usage = { type: ['object', 'null'], additionalProperties: true };

/** A choice, whose text is in the member `part`. */
const choices = (part: string) => ({
  type: 'array',
  items: {
    type: 'object',
    properties: {
      index: { type: 'integer' },
      [part]: {
        type: 'object',
        properties: { role: { type: 'string' }, content: { type: ['string', 'null'] } },
        additionalProperties: true,
      },
      finish_reason: { type: ['string', 'null'] },
    },
    required: [part],
    additionalProperties: true,
  },
});

const common = {
  id: { type: 'string' },
  created: { type: 'integer' },
  model: { type: 'string', description: 'The model that answered.' },
  usage,
};

/** OpenAI's Chat Completions. */
export const description: ApiDescription = {
  name: 'ChatCompletion',
  summary: 'Create a chat completion',
  vendor: 'OpenAI',
  reference: 'https://platform.openai.com/docs/api-reference/chat/create',
  request: {
    type: 'object',
    properties: {
      model: { type: 'string', minLength: 1, description: 'One of `GET /v1/models`.' },
      messages: {
        type: 'array',
        minItems: 1,
        items: { type: 'object', additionalProperties: true },
      },
      stream: { type: ['boolean', 'null'], description: 'Whether the answer is a stream.' },
      stream_options: {
        type: ['object', 'null'],
        properties: { include_usage: { description: '`true`: the stream ends with its usage.' } },
        additionalProperties: true,
      },
    },
    required: ['model', 'messages'],
    additionalProperties: true,
  },
  answer: {
    type: 'object',
    properties: { ...common, object: { const: 'chat.completion' }, choices: choices('message') },
    required: ['choices'],
    additionalProperties: true,
  },
  event: {
    description: 'The data of one event. The last event of a complete stream is `[DONE]`.',
    type: 'object',
    properties: {
      ...common,
      object: { const: 'chat.completion.chunk' },
      choices: choices('delta'),
    },
    additionalProperties: true,
  },
  example: { model: 'simulated', stream: true, messages: [{ role: 'user', content: 'Hello' }] },
};
