import type { Fault } from '@millrace/shared/domain/fault';
import { partsOf } from '../base-url.ts';
import { withRetryAfter } from '../errors/read-error.ts';
import type { ProviderAccount, ProviderCall, ProviderFormat, UpstreamRequest } from '../port.ts';
import { anthropicQuota, limitsReader, openAiQuota } from '../rate-limits.ts';
import { readError } from './errors.ts';
import { nativeRequest } from './native-request.ts';
import { capabilitiesOf, traitsOf } from './models.ts';
import { translateRequest } from './request.ts';
import { readStream } from './stream.ts';
import { readWhole } from './whole.ts';
import { translatedRequest } from '../upstream-request.ts';

/** Anthropic's Messages API. Incoming requests and returned answers are in the inner form. */
export const anthropicMessages: ProviderFormat = {
  modelsRequest: (account) => ({
    path: pathOf(account.baseUrl, 'models'),
    headers: { accept: 'application/json', 'user-agent': 'millrace', ...authorization(account) },
  }),
  request,
  readStream: (call, sink) => readStream(call, sink),
  readWhole: (text, call) => readWhole(text, call),
  readError: ({ status, headers, text }, { body }) =>
    withRetryAfter(readError(status, text, { body }), headers),
  readLimits: limitsReader([anthropicQuota, openAiQuota]),
  // Claude supported prefill up to 4.5, and called tools after one.
  prefillOf: ({ model }) => traitsOf(model).prefill && 'with-tools',
  capabilitiesOf,
};

/** The only version of the API; new features come as members and models. */
const apiVersion = '2023-06-01';

const authorization = ({ apiKey }: ProviderAccount): Record<string, string> => ({
  'anthropic-version': apiVersion,
  ...(apiKey !== undefined && { 'x-api-key': apiKey }),
});

function request(call: ProviderCall): UpstreamRequest | Fault {
  return translatedRequest(call, () => {
    const path = pathOf(call.baseUrl, 'messages');
    if (!call.native) return { path, headers: authorization(call), body: translateRequest(call) };
    const { body, headers } = nativeRequest(call.native, call);
    return { path, headers: { ...authorization(call), ...headers }, body };
  });
}

/** The base URL is Anthropic's, without the version, or in OpenAI's style, with it. */
function pathOf(baseUrl: string, resource: 'messages' | 'models'): string {
  const path = partsOf(baseUrl).pathname;
  return `${path}${path.endsWith('/v1') ? '' : '/v1'}/${resource}`;
}
