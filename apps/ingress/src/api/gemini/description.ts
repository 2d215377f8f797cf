import type { ApiDescription } from '../openapi/client-api.ts';
import { ref } from '../openapi/operation.ts';

const open = { type: 'object', additionalProperties: true };

const text = { type: 'string' };
const embedRequest = {
  type: 'object',
  properties: { content: open },
  required: ['content'],
  additionalProperties: true,
};
const embedding = {
  type: 'object',
  properties: { values: { type: 'array', items: { type: 'number' } } },
  additionalProperties: true,
};
/** Of `embedContent` and `batchEmbedContents`. */
const embedMembers = {
  content: { ...open, description: 'Of `embedContent`.' },
  requests: {
    description: 'Of `batchEmbedContents`.',
    type: 'array',
    minItems: 1,
    items: embedRequest,
  },
};
const embedBody = (required: string) => ({
  type: 'object',
  properties: { model: { ...text, minLength: 1 }, ...embedMembers },
  required: ['model', required],
  additionalProperties: true,
});
const embedAnswers = { embedding, embeddings: { type: 'array', items: embedding } };

/** Google's Gemini API. */
export const description: ApiDescription = {
  name: 'GenerateContent',
  summary: 'Generate content',
  vendor: 'Google',
  reference: 'https://ai.google.dev/api/generate-content',
  parameters: [
    ...['project', 'location', 'publisher'].map((name) => ({
      name,
      in: 'path' as const,
      description:
        name === 'publisher'
          ? 'As in the URLs of Vertex AI: `google`, or the beginning of the name of a model that has a slash.'
          : 'As in the URLs of Vertex AI; any text.',
      schema: text,
    })),
    {
      name: 'model',
      in: 'path',
      description:
        'The model and the method: `MODEL:generateContent`, `MODEL:streamGenerateContent`, `MODEL:embedContent`, `MODEL:batchEmbedContents`, or `MODEL:countTokens`, which estimates without a tokenizer. A slash in it may stay as it is.',
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
      ...embedMembers,
      model: { type: 'string', description: 'In jobs and on WebSockets only.' },
      stream: { type: 'boolean', description: 'In jobs and on WebSockets only.' },
    },
    anyOf: ['contents', 'generateContentRequest', ...Object.keys(embedMembers)].map((name) => ({
      required: [name],
    })),
    additionalProperties: true,
  },
  answer: {
    anyOf: [
      {
        type: ['object', 'array'],
        properties: {
          candidates: { type: 'array', items: open },
          usageMetadata: open,
          totalTokens: { type: 'integer', description: 'Of `countTokens`.' },
        },
        items: open,
        additionalProperties: true,
      },
      ref('EmbedContent'),
    ],
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

/** The part of it that jobs and WebSockets name by an endpoint of its own. */
export const embeddingsDescription: ApiDescription = {
  name: 'EmbedContent',
  summary: 'Create embeddings',
  vendor: 'Google',
  reference: 'https://ai.google.dev/api/embeddings',
  request: { anyOf: Object.keys(embedMembers).map(embedBody) },
  answer: {
    type: 'object',
    properties: { ...embedAnswers, usageMetadata: open },
    additionalProperties: true,
  },
  example: { model: 'simulated-embeddings', content: { parts: [{ text: 'Hello' }] } },
};
