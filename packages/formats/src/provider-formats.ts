import type { ProviderApi } from '@millrace/shared/domain/provider-api';
import { withAdditions } from './additions.ts';
import type { Additions } from './additions.ts';
import type { Endpoint } from '@millrace/shared/domain/request';
import { anthropicMessages } from './anthropic-messages/provider.ts';
import { completesTexts } from './client-formats.ts';
import {
  geminiEmbeddings,
  geminiEmbeddingsAtOpenAi,
  openAiEmbeddingsAtGemini,
} from './gemini/embeddings.ts';
import { gemini } from './gemini/provider.ts';
import { openAiChat } from './openai-chat/provider.ts';
import { openAiCompletions } from './openai-completions/provider.ts';
import { openAiResponses } from './openai-responses/provider.ts';
import { passThroughFormats } from './pass-through/provider.ts';
import type { ProviderFormat } from './port.ts';

/** The formats that a worker uses with providers, by the `api` of a provider in the config. */
export const providerFormats: Readonly<Record<ProviderApi, ProviderFormat>> = {
  openai: openAiChat,
  anthropic: anthropicMessages,
  'openai-responses': openAiResponses,
  gemini,
};

/** The format of a provider, with what its config adds to requests. `provider`: the same object each time. */
export const formatOf = (provider: Provider): ProviderFormat =>
  added(providerFormats[provider.api], provider);

/** As `formatOf`, for requests of this endpoint. Undefined: the wire format of the provider has no such API. */
export function formatFor(provider: Provider, endpoint: Endpoint): ProviderFormat | undefined {
  if (completesTexts(provider, endpoint)) return added(openAiCompletions, provider);
  const formats = formatsOf[endpoint];
  if (!formats) return formatOf(provider);
  const format = formats[provider.api];
  return format && added(format, provider);
}

const passThrough = (endpoint: keyof typeof passThroughFormats) => ({
  openai: passThroughFormats[endpoint],
});

/** The formats of endpoints that have no inner form, by the `api` of providers that have such an API. */
const formatsOf: Readonly<
  Partial<Record<Endpoint, Partial<Record<ProviderApi, ProviderFormat | undefined>>>>
> = {
  ...Object.fromEntries(
    Object.keys(passThroughFormats).map((endpoint) => [
      endpoint,
      passThrough(endpoint as Endpoint),
    ]),
  ),
  // OpenAI itself is a provider of either format.
  '/v1/responses/compact': {
    ...passThrough('/v1/responses/compact'),
    'openai-responses': passThroughFormats['/v1/responses/compact'],
  },
  '/v1/embeddings': { ...passThrough('/v1/embeddings'), gemini: openAiEmbeddingsAtGemini },
  '/v1beta/models:embedContent': { gemini: geminiEmbeddings, openai: geminiEmbeddingsAtOpenAi },
};

type Provider = {
  readonly api: ProviderApi;
  /** It has a Completions API. */
  readonly completions?: boolean | undefined;
} & Additions;

const made = new WeakMap<object, Map<ProviderFormat, ProviderFormat>>();

function added(format: ProviderFormat, provider: Provider): ProviderFormat {
  let formats = made.get(provider);
  if (!formats) made.set(provider, (formats = new Map()));
  let own = formats.get(format);
  if (!own) formats.set(format, (own = withAdditions(format, provider)));
  return own;
}
