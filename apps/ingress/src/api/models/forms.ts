import type { IncomingHttpHeaders } from 'node:http';
import type { Schema } from '../openapi/operation.ts';
import { endpointsOfServices } from '@millrace/shared/domain/capabilities';
import type { Capabilities } from '@millrace/shared/domain/capabilities';
import { endpoints } from '@millrace/shared/domain/request';
import { ref } from '../openapi/operation.ts';
import type { ListPrice, ModelFacts } from './known-models.ts';

/* How vendors describe models and list them. */

export type KnownModel = ModelFacts & { id: string };

export type ModelForm = {
  describe(model: KnownModel): object;
  list(models: readonly KnownModel[]): object;
};

/** The time of models that have none, in seconds since the epoch: that of this process' start. */
const created = Math.floor(Date.now() / 1000);

/** OpenAI's, with members as OpenRouter and LiteLLM name them; what is not known is absent. */
const openAi: ModelForm = {
  describe: ({ id, capabilities, price }) => ({
    id,
    object: 'model',
    created,
    owned_by: 'millrace',
    ...withoutUnknown(asOpenRouter(capabilities, price)),
    ...withoutUnknown(asLiteLlm(capabilities)),
  }),
  list: (models) => ({ object: 'list', data: models.map(openAi.describe) }),
};

function asOpenRouter(capabilities: Capabilities, price: ListPrice | undefined) {
  const { contextWindow, maxOutputTokens, input, output } = capabilities;
  const architecture = withoutUnknown({
    modality: input && output && `${input.join('+')}->${output.join('+')}`,
    input_modalities: input,
    output_modalities: output,
  });
  return {
    context_length: contextWindow,
    architecture: Object.keys(architecture).length > 0 ? architecture : undefined,
    top_provider:
      maxOutputTokens === undefined
        ? undefined
        : withoutUnknown({
            context_length: contextWindow,
            max_completion_tokens: maxOutputTokens,
          }),
    supported_parameters: parametersOf(capabilities),
    pricing: price && {
      prompt: usdPerToken(price.input),
      completion: usdPerToken(price.output),
      input_cache_read: usdPerToken(price.cachedInput),
    },
  };
}

/** Clients take a name that is missing for a capability that is missing, so there is no list until all of them are known. */
function parametersOf({ tools, structuredOutput, reasoning }: Capabilities) {
  if (tools === undefined || structuredOutput === undefined || reasoning === undefined) {
    return undefined;
  }
  return [
    ...(tools ? ['tools', 'tool_choice'] : []),
    ...(structuredOutput ? ['response_format', 'structured_outputs'] : []),
    ...(reasoning ? ['reasoning', 'reasoning_effort'] : []),
  ];
}

function asLiteLlm(capabilities: Capabilities) {
  const { maxOutputTokens, input, tools, structuredOutput, reasoning, prefill, serves } =
    capabilities;
  return {
    max_output_tokens: maxOutputTokens,
    supports_function_calling: tools,
    supports_vision: input?.includes('image'),
    supports_response_schema: structuredOutput,
    supports_reasoning: reasoning,
    supports_assistant_prefill: prefill,
    supported_endpoints:
      serves &&
      endpoints.filter((one) =>
        serves.some((service) => endpointsOfServices[service].includes(one)),
      ),
  };
}

const withoutUnknown = (members: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

/** A text, as numbers of this size lose digits or get exponents. `price`: billionths of a USD for a thousand tokens. */
const usdPerToken = (price: number): string => (price / 1e12).toFixed(12).replace(/\.?0+$/, '');

const anthropic: ModelForm = {
  describe: ({ id, capabilities: { contextWindow, maxOutputTokens } }) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: new Date(created * 1000).toISOString(),
    ...withoutUnknown({ max_input_tokens: contextWindow, max_tokens: maxOutputTokens }),
  }),
  list: (models) => ({
    data: models.map(anthropic.describe),
    has_more: false,
    first_id: models[0]?.id ?? null,
    last_id: models.at(-1)?.id ?? null,
  }),
};

export const google: ModelForm = {
  describe: ({ id, capabilities: { contextWindow, maxOutputTokens, reasoning, serves } }) => ({
    name: `models/${id}`,
    displayName: id,
    ...withoutUnknown({
      inputTokenLimit: contextWindow,
      outputTokenLimit: maxOutputTokens,
      thinking: reasoning,
    }),
    supportedGenerationMethods: [
      ...(!serves || serves.includes('chat') ? ['generateContent', 'countTokens'] : []),
      ...(serves?.includes('embeddings') ? ['embedContent'] : []),
    ],
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
const texts = { type: 'array', items: text };
const tokens = { type: 'integer', description: 'Known of all targets, or absent.' };
const flag = { type: 'boolean', description: 'Known of all targets, or absent.' };
const price = { type: 'string', description: 'USD for a token.' };

const openAiExtras = {
  context_length: tokens,
  architecture: object({}, { modality: text, input_modalities: texts, output_modalities: texts }),
  top_provider: object({}, { context_length: tokens, max_completion_tokens: tokens }),
  supported_parameters: texts,
  pricing: object({ prompt: price, completion: price, input_cache_read: price }),
  max_output_tokens: tokens,
  supports_function_calling: flag,
  supports_vision: flag,
  supports_response_schema: flag,
  supports_reasoning: flag,
  supports_assistant_prefill: flag,
  supported_endpoints: {
    ...texts,
    description: 'The APIs that serve the model, by the names that jobs have for them.',
  },
};

export const modelSchemas: Readonly<Record<string, Schema>> = {
  Model: {
    description:
      'As OpenAI describes a model, Anthropic for a client with `anthropic-version`, or Google for one with `x-goog-api-key`.',
    oneOf: [
      object(
        { id: text, object: { const: 'model' }, created: { type: 'integer' }, owned_by: text },
        openAiExtras,
      ),
      object(
        { type: { const: 'model' }, id: text, display_name: text, created_at: text },
        { max_input_tokens: tokens, max_tokens: tokens },
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
    { inputTokenLimit: tokens, outputTokenLimit: tokens, thinking: flag },
  ),
  GeminiModels: object({ models: { type: 'array', items: ref('GeminiModel') } }),
};
