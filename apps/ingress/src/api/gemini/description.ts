import type { ApiDescription } from '../openapi/client-api.ts';

const open = { type: 'object', additionalProperties: true };

/** Google's Gemini API. */
export const description: ApiDescription = {
  name: 'GenerateContent',
  summary: 'Generate content',
  vendor: 'Google',
  reference: 'https://ai.google.dev/api/generate-content',
  parameters: [
    {
      name: 'model',
      in: 'path',
      description:
        'The model and the method: `MODEL:generateContent`, `MODEL:streamGenerateContent`, or `MODEL:countTokens`, which estimates without a tokenizer. A slash in it may stay as it is.',
      schema: { type: 'string', examples: ['simulated:generateContent'] },
    },
    {
      name: 'alt',
      in: 'query',
      description: '`sse`: `streamGenerateContent` answers with events. Otherwise with an array.',
      schema: { type: 'string' },
    },
  ],
  request: {
    type: 'object',
    properties: {
      contents: {
        description: 'The turns of the conversation.',
        type: 'array',
        minItems: 1,
        items: open,
      },
      generateContentRequest: { ...open, description: 'Of `countTokens`: a whole request.' },
      model: { type: 'string', description: 'In jobs and on WebSockets only.' },
      stream: { type: 'boolean', description: 'In jobs and on WebSockets only.' },
    },
    anyOf: [{ required: ['contents'] }, { required: ['generateContentRequest'] }],
    additionalProperties: true,
  },
  answer: {
    type: ['object', 'array'],
    properties: {
      candidates: { type: 'array', items: open },
      usageMetadata: open,
      totalTokens: { type: 'integer', description: 'Of `countTokens`.' },
    },
    items: open,
    additionalProperties: true,
  },
  event: {
    description: 'The data of one event.',
    type: 'object',
    properties: { candidates: { type: 'array', items: open }, usageMetadata: open },
    additionalProperties: true,
  },
  error: {
    type: 'object',
    properties: {
      error: {
        type: 'object',
        properties: {
          code: { type: 'integer' },
          message: { type: 'string' },
          status: { type: 'string' },
        },
        required: ['message'],
        additionalProperties: true,
      },
    },
    required: ['error'],
    additionalProperties: true,
  },
  example: { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }] },
};
