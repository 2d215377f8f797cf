import type { ProviderConfig } from '@millrace/shared/config';
import { anthropic } from './anthropic.ts';
import { openai } from './openai.ts';
import type { Provider } from './port.ts';

/** The wire formats, by the `api` of a provider in the config. */
export const wireFormats: Record<ProviderConfig['api'], Provider> = { openai, anthropic };
