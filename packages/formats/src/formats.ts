import type { ProviderFormat } from '@millrace/shared/domain/provider-format';
import { anthropic } from './anthropic-messages/provider.ts';
import { openai } from './openai-chat/provider.ts';
import type { Provider } from './port.ts';

/** The wire formats, by the `api` of a provider in the config. */
export const wireFormats: Record<ProviderFormat, Provider> = { openai, anthropic };
