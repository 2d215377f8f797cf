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
  request: request(
    { model: { ...model, type: ['string', 'null'], default: 'omni-moderation-latest' }, input },
    ['input'],
  ),
  answer: openObject,
  example: { input: 'Hello' },
};

export const compactDescription: ApiDescription = {
  name: 'Compaction',
  summary: 'Compact a conversation',
  vendor: 'OpenAI',
  reference: 'https://platform.openai.com/docs/api-reference/responses/compact',
  request: {
    ...request(
      {
        model,
        input: { type: ['string', 'array'] },
        previous_response_id: {
          type: ['string', 'null'],
          description: 'The response whose conversation comes before `input`.',
        },
      },
      ['model'],
    ),
    anyOf: [{ required: ['input'] }, { required: ['previous_response_id'] }],
  },
  answer: openObject,
  ownErrors: ['previous_response_not_found'],
  example: { model: 'gpt-5', input: [{ role: 'user', content: 'Hello' }] },
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

/** An event of a stream, as the provider sends it. */
const event = {
  type: 'object',
  properties: { type: { type: 'string' } },
  additionalProperties: true,
};
/** A file of a form. */
const binary = { contentMediaType: 'application/octet-stream' };
/** The same file in JSON. */
const file = {
  type: 'object',
  properties: {
    filename: { type: 'string' },
    data: { type: 'string', pattern: '^data:', description: 'A data URL in base64.' },
  },
  required: ['data'],
};
const images = { anyOf: [file, { type: 'array', minItems: 1, items: file }] };
const text = { type: 'string' };
const formOf = (properties: Record<string, object>, required: string[]) =>
  request({ model, ...properties }, ['model', ...required]);
const reference = (page: string) => `https://platform.openai.com/docs/api-reference/${page}`;

export const imagesDescription: ApiDescription = {
  name: 'Images',
  summary: 'Create images',
  vendor: 'OpenAI',
  reference: reference('images/create'),
  request: request({ model, prompt: text }, ['model', 'prompt']),
  answer: openObject,
  event,
  example: { model: 'gpt-image-1', prompt: 'A mill by a river' },
};

export const imageEditsDescription: ApiDescription = {
  name: 'ImageEdits',
  summary: 'Edit images',
  vendor: 'OpenAI',
  reference: reference('images/createEdit'),
  request: {
    ...request({ model, prompt: text, image: images, 'image[]': images }, ['model', 'prompt']),
    anyOf: [{ required: ['image'] }, { required: ['image[]'] }],
  },
  form: formOf({ prompt: text, image: binary, 'image[]': { type: 'array', items: binary } }, [
    'prompt',
  ]),
  answer: openObject,
  event,
  example: {
    model: 'gpt-image-1',
    prompt: 'At night',
    image: { filename: 'mill.png', data: 'data:image/png;base64,iVBORw0KGgo=' },
  },
};

export const imageVariationsDescription: ApiDescription = {
  name: 'ImageVariations',
  summary: 'Create variations of an image',
  vendor: 'OpenAI',
  reference: reference('images/createVariation'),
  request: request({ model, image: file }, ['model', 'image']),
  form: formOf({ image: binary }, ['image']),
  answer: openObject,
  example: {
    model: 'dall-e-2',
    image: { filename: 'mill.png', data: 'data:image/png;base64,iVBORw0KGgo=' },
  },
};

export const speechDescription: ApiDescription = {
  name: 'Speech',
  summary: 'Create speech',
  vendor: 'OpenAI',
  reference: reference('audio/createSpeech'),
  request: request(
    {
      model,
      input: text,
      stream_format: {
        enum: ['audio', 'sse', null],
        description:
          '`sse`: the answer comes as events. Otherwise its bytes come as the provider makes them; in jobs and on WebSockets as events if the member is there, else in one piece.',
      },
    },
    ['model', 'input'],
  ),
  answer: openObject,
  event,
  otherAnswers: { 'audio/*': binary },
  example: { model: 'gpt-4o-mini-tts', input: 'Hello', voice: 'alloy' },
};

const transcripts = {
  vendor: 'OpenAI',
  request: request({ model, file }, ['model', 'file']),
  form: formOf({ file: binary }, ['file']),
  answer: openObject,
  otherAnswers: { 'text/plain': text },
  example: {
    model: 'whisper-1',
    file: { filename: 'hello.mp3', data: 'data:audio/mpeg;base64,SUQz' },
  },
} as const;

export const transcriptionsDescription: ApiDescription = {
  ...transcripts,
  event,
  name: 'Transcription',
  summary: 'Transcribe audio',
  reference: reference('audio/createTranscription'),
};

export const translationsDescription: ApiDescription = {
  ...transcripts,
  name: 'Translation',
  summary: 'Translate audio into English',
  reference: reference('audio/createTranslation'),
};
