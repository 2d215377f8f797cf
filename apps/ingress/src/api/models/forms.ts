import type { IncomingHttpHeaders } from 'node:http';
import type { Schema } from '../openapi/operation.ts';
import { ref } from '../openapi/operation.ts';

/* How vendors describe models and list them. */

/** What is known of a model. */
export type KnownModel = {
  id: string;
  /** Tokens; undefined unless it is known of every target. */
  contextWindow: number | undefined;
};

export type ModelForm = {
  describe(model: KnownModel): object;
  list(models: readonly KnownModel[]): object;
};

/** The time of models that have none, in seconds since the epoch: that of this process' start. */
const created = Math.floor(Date.now() / 1000);

/** OpenAI's, with the context window as OpenRouter has it. */
const openAi: ModelForm = {
  describe: ({ id, contextWindow }) => ({
    id,
    object: 'model',
    created,
    owned_by: 'millrace',
    ...(contextWindow !== undefined && { context_length: contextWindow }),
  }),
  list: (models) => ({ object: 'list', data: models.map(openAi.describe) }),
};

const anthropic: ModelForm = {
  describe: ({ id, contextWindow }) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: new Date(created * 1000).toISOString(),
    ...(contextWindow !== undefined && { max_input_tokens: contextWindow }),
  }),
  list: (models) => ({
    data: models.map(anthropic.describe),
    has_more: false,
    first_id: models[0]?.id ?? null,
    last_id: models.at(-1)?.id ?? null,
  }),
};

export const google: ModelForm = {
  describe: ({ id, contextWindow }) => ({
    name: `models/${id}`,
    displayName: id,
    ...(contextWindow !== undefined && { inputTokenLimit: contextWindow }),
    supportedGenerationMethods: ['generateContent', 'countTokens'],
  }),
  list: (models) => ({ models: models.map(google.describe) }),
};

/** The form of the vendor whose client a request of `/v1` comes from. */
export function formFor(headers: IncomingHttpHeaders): ModelForm {
  if ('anthropic-version' in headers) return anthropic;
  return 'x-goog-api-key' in headers ? google : openAi;
}

const object = (
  properties: Readonly<Record<string, Schema>>,
  optional: Readonly<Record<string, Schema>> = {},
): Schema => ({
  type: 'object',
  properties: { ...properties, ...optional },
  required: Object.keys(properties),
});

const text = { type: 'string' };
const tokens = { type: 'integer', description: 'The context window, if it is known.' };

export const modelSchemas: Readonly<Record<string, Schema>> = {
  Model: {
    description:
      'As OpenAI describes a model, Anthropic for a client with `anthropic-version`, or Google for one with `x-goog-api-key`.',
    oneOf: [
      object(
        { id: text, object: { const: 'model' }, created: { type: 'integer' }, owned_by: text },
        { context_length: tokens },
      ),
      object(
        { type: { const: 'model' }, id: text, display_name: text, created_at: text },
        { max_input_tokens: tokens },
      ),
      ref('GeminiModel'),
    ],
  },
  Models: {
    oneOf: [
      object({ object: { const: 'list' }, data: { type: 'array', items: ref('Model') } }),
      object({
        data: { type: 'array', items: ref('Model') },
        has_more: { const: false },
        first_id: { type: ['string', 'null'] },
        last_id: { type: ['string', 'null'] },
      }),
      ref('GeminiModels'),
    ],
  },
  GeminiModel: object(
    { name: text, displayName: text, supportedGenerationMethods: { type: 'array', items: text } },
    { inputTokenLimit: tokens },
  ),
  GeminiModels: object({ models: { type: 'array', items: ref('GeminiModel') } }),
};
