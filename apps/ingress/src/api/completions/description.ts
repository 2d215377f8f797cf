import type { ApiDescription } from '../openapi/client-api.ts';

const common = {
  id: { type: 'string' },
  object: { const: 'text_completion' },
  created: { type: 'integer' },
  model: { type: 'string', description: 'The model that answered.' },
  choices: {
    type: 'array',
    items: {
      type: 'object',
      properties: {
        text: { type: 'string' },
        index: { type: 'integer' },
        logprobs: { type: ['object', 'null'], additionalProperties: true },
        finish_reason: { type: ['string', 'null'] },
      },
      required: ['text'],
      additionalProperties: true,
    },
  },
  usage: { type: ['object', 'null'], additionalProperties: true },
};

/** OpenAI's Completions. */
export const description: ApiDescription = {
  name: 'Completion',
  summary: 'Create a completion of a text',
  vendor: 'OpenAI',
  reference: 'https://platform.openai.com/docs/api-reference/completions/create',
  request: {
    type: 'object',
    properties: {
      model: { type: 'string', minLength: 1, description: 'One of `GET /v1/models`.' },
      prompt: {
        description: 'One text.',
        type: ['string', 'array'],
        items: { type: 'string' },
        minItems: 1,
        maxItems: 1,
      },
      stream: { type: ['boolean', 'null'], description: 'Whether the answer is a stream.' },
      stream_options: {
        type: ['object', 'null'],
        properties: { include_usage: { description: '`true`: the stream ends with its usage.' } },
        additionalProperties: true,
      },
      suffix: {
        type: ['string', 'null'],
        description: 'Only for a provider with an API of this kind.',
      },
      echo: { enum: [false, null] },
      best_of: { type: ['integer', 'null'], description: 'The same as `n`.' },
      logprobs: { type: ['integer', 'boolean', 'null'], minimum: 0 },
    },
    required: ['model', 'prompt'],
    additionalProperties: true,
  },
  answer: {
    type: 'object',
    properties: common,
    required: ['choices'],
    additionalProperties: true,
  },
  event: {
    description: 'The data of one event. The last event of a complete stream is `[DONE]`.',
    type: 'object',
    properties: common,
    additionalProperties: true,
  },
  example: { model: 'simulated', stream: true, prompt: 'Once upon a time' },
};
