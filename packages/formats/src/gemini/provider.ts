import type { Fault } from '@millrace/shared/domain/fault';
import { partsOf } from '../base-url.ts';
import { withRetryAfter } from '../errors/read-error.ts';
import type { ProviderAccount, ProviderCall, ProviderFormat, UpstreamRequest } from '../port.ts';
import { limitsReader, openAiQuota } from '../rate-limits.ts';
import { readError } from './errors.ts';
import { capabilitiesOf } from './models.ts';
import { nativeRequest } from './native-request.ts';
import { translateRequest } from './request.ts';
import { readStream } from './stream.ts';
import { readWhole } from './whole.ts';
import { translatedRequest } from '../upstream-request.ts';

/** Google's Gemini API (`generateContent`). Incoming requests and returned answers are in the inner form. */
export const gemini: ProviderFormat = {
  modelsRequest: (account) => ({
    path: `${rootOf(account.baseUrl)}/models?pageSize=1`,
    headers: { accept: 'application/json', 'user-agent': 'millrace', ...authorization(account) },
  }),
  request,
  readStream: (call, sink) => readStream(call, sink),
  readWhole: (text, call) => readWhole(text, call),
  readError: ({ status, headers, text }, { body }) =>
    withRetryAfter(readError(status, text, { body }), headers),
  // Google reports no limits; gateways in front of it use OpenAI's headers.
  readLimits: limitsReader([openAiQuota]),
  // Models up to 3.5 Flash were seen to continue a trailing message, newer ones answer it with 400.
  prefillOf: () => false,
  capabilitiesOf,
};

const authorization = ({ apiKey }: ProviderAccount): Record<string, string> =>
  apiKey === undefined ? {} : { 'x-goog-api-key': apiKey };

function request(call: ProviderCall): UpstreamRequest | Fault {
  const method = call.stream ? 'streamGenerateContent?alt=sse' : 'generateContent';
  return translatedRequest(call, () =>
    geminiRequest(
      call,
      method,
      call.native ? nativeRequest(call.native, call) : translateRequest(call),
    ),
  );
}

/** A request to a method of the call's model. */
export const geminiRequest = (
  call: ProviderCall,
  method: string,
  body: string,
): UpstreamRequest => ({
  path: `${rootOf(call.baseUrl)}/${resourceOf(call.model)}:${method}`,
  headers: authorization(call),
  body,
});

/** The base URL is Google's, without the version, or has one, as that of Vertex AI's express mode. */
function rootOf(baseUrl: string): string {
  const path = partsOf(baseUrl).pathname;
  return /\/v\d+(?:(?:alpha|beta)\d*)?(?:\/|$)/.test(path) ? path : `${path}/v1beta`;
}

/** `models/NAME`; a tuned model has its own collection in its name. */
export function resourceOf(model: string, isInPath = true): string {
  const name = /^(?:models|tunedModels)\//.test(model) ? model : `models/${model}`;
  return isInPath ? name.split('/').map(encodeURIComponent).join('/') : name;
}
