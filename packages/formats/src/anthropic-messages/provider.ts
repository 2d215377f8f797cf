import type { Fault } from '@millrace/shared/domain/fault';
import { partsOf } from '../base-url.ts';
import { withRetryAfter } from '../errors/read-error.ts';
import type { ProviderAccount, ProviderCall, ProviderFormat, UpstreamRequest } from '../port.ts';
import { anthropicQuota, limitsReader, openAiQuota } from '../rate-limits.ts';
import { readError } from './errors.ts';
import { traitsOf } from './models.ts';
import { RefusedError, refusalFault } from './refused.ts';
import { translateRequest } from './request.ts';
import { readStream } from './stream.ts';
import { readWhole } from './whole.ts';

/** Anthropic's Messages. The request that comes in and the answer that goes out are in the inner form. */
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
  // Claude did up to 4.5, and called its tools behind one.
  prefillOf: ({ model }) => traitsOf(model).prefill && 'with-tools',
};

/** The one version of the API that there is; what is new comes by members and models. */
const apiVersion = '2023-06-01';

const authorization = ({ apiKey }: ProviderAccount): Record<string, string> => ({
  'anthropic-version': apiVersion,
  ...(apiKey !== undefined && { 'x-api-key': apiKey }),
});

function request(call: ProviderCall): UpstreamRequest | Fault {
  const headers = {
    'content-type': 'application/json',
    accept: call.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'millrace',
    ...authorization(call),
    ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
  };
  try {
    return { path: pathOf(call.baseUrl, 'messages'), headers, body: translateRequest(call) };
  } catch (error) {
    if (error instanceof RefusedError) return refusalFault(error);
    throw error;
  }
}

/** The base URL is Anthropic's own, without the version, or one like OpenAI's, with it. */
function pathOf(baseUrl: string, resource: 'messages' | 'models'): string {
  const path = partsOf(baseUrl).pathname;
  return `${path}${path.endsWith('/v1') ? '' : '/v1'}/${resource}`;
}
