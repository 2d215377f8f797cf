import type { ProviderApi } from '@millrace/shared/domain/provider-api';
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
