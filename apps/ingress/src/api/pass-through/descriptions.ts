import type { ApiDescription } from '../openapi/client-api.ts';

/* The APIs of pass-through/apis.ts in the OpenAPI document. */

const openObject = { type: 'object', additionalProperties: true };
const model = { type: 'string', minLength: 1 };
const input = { type: ['string', 'array'], minItems: 1, items: {} };

const request = (properties: Record<string, object>, required: string[]) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: true,
});

export const embeddingsDescription: ApiDescription = {
  name: 'Embeddings',
  summary: 'Create embeddings',
  vendor: 'OpenAI',
  reference: 'https://platform.openai.com/docs/api-reference/embeddings/create',
  request: request({ model, input }, ['model', 'input']),
  answer: openObject,
  example: { model: 'text-embedding-3-small', input: 'Hello' },
};

export const moderationsDescription: ApiDescription = {
  name: 'Moderation',
  summary: 'Create a moderation',
  vendor: 'OpenAI',
  reference: 'https://platform.openai.com/docs/api-reference/moderations/create',
  request: request({ model: { ...model, default: 'omni-moderation-latest' }, input }, ['input']),
  answer: openObject,
  example: { input: 'Hello' },
};

export const rerankDescription: ApiDescription = {
  name: 'Rerank',
  summary: 'Rank documents by a query',
  vendor: 'Cohere',
  reference: 'https://docs.cohere.com/reference/rerank',
  request: request(
    {
      model,
      query: { description: 'A text, or what else the provider takes.', not: { enum: [null, ''] } },
      documents: { type: 'array', minItems: 1, items: {} },
    },
    ['model', 'query', 'documents'],
  ),
  answer: openObject,
  example: { model: 'rerank-v3.5', query: 'Hello', documents: ['Hello, world', 'Goodbye'] },
};
