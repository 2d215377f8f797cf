import type { JsonObject } from '@millrace/shared/domain/json';
import type { ProviderApi } from '@millrace/shared/domain/provider-api';
import type { Endpoint } from '@millrace/shared/domain/request';
import { anthropicMessagesClient } from './anthropic-messages/client/format.ts';
import type { ClientFormat, InnerRequest } from './client-port.ts';
import { geminiClient } from './gemini/client/format.ts';
import { parseExactly } from './exact-json.ts';
import { openAiCompletionsClient } from './openai-completions/client/format.ts';
import { openAiResponsesClient } from './openai-responses/client/format.ts';

/** The formats of the client APIs whose format is not the inner form. */
const clientFormats: Readonly<Partial<Record<Endpoint, ClientFormat>>> = {
  '/v1/completions': openAiCompletionsClient,
  '/v1/messages': anthropicMessagesClient,
  '/v1/responses': openAiResponsesClient,
  '/v1beta/models:generateContent': geminiClient,
};

/** The provider's format that is also the client's. */
const sameFormat: Readonly<Partial<Record<Endpoint, ProviderApi>>> = {
  '/v1/messages': 'anthropic',
  '/v1/responses': 'openai-responses',
  '/v1beta/models:generateContent': 'gemini',
};

/** Undefined: the client uses the inner form. */
export const clientFormatOf = (endpoint: Endpoint): ClientFormat | undefined =>
  clientFormats[endpoint];

/** Whether this provider can be sent the client's own body, and is not sent the inner form. */
export const isNative = (endpoint: Endpoint, provider: Provider): boolean =>
  clientFormats[endpoint] !== undefined &&
  (sameFormat[endpoint] === provider.api || completesTexts(provider, endpoint));

type Provider = { readonly api: ProviderApi; readonly completions?: boolean | undefined };

/** Whether the provider serves the endpoint by a Completions API beside its chat completions. */
export const completesTexts = ({ api, completions }: Provider, endpoint: Endpoint): boolean =>
  endpoint === '/v1/completions' && api === 'openai' && completions === true;

/** The inner form of a request that an ingress has checked. */
export function innerRequest(endpoint: Endpoint, text: string): InnerRequest {
  const format = clientFormats[endpoint];
  return format ? format.toInner(parseExactly(text) as JsonObject) : { body: text };
}
