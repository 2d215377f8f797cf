import type { ProviderApi } from '@millrace/shared/domain/provider-api';
import { withAdditions } from './additions.ts';
import type { Additions } from './additions.ts';
import { anthropicMessages } from './anthropic-messages/provider.ts';
import { gemini } from './gemini/provider.ts';
import { openAiChat } from './openai-chat/provider.ts';
import { openAiResponses } from './openai-responses/provider.ts';
import type { ProviderFormat } from './port.ts';

/** The formats that a worker uses with providers, by the `api` of a provider in the config. */
export const providerFormats: Readonly<Record<ProviderApi, ProviderFormat>> = {
  openai: openAiChat,
  anthropic: anthropicMessages,
  'openai-responses': openAiResponses,
  gemini,
};

const made = new WeakMap<object, ProviderFormat>();

/** The format of a provider, with what its config adds to requests. `provider`: the same object each time. */
export function formatOf(provider: { readonly api: ProviderApi } & Additions): ProviderFormat {
  let format = made.get(provider);
  if (!format)
    made.set(provider, (format = withAdditions(providerFormats[provider.api], provider)));
  return format;
}
