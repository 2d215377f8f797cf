import { partsOf } from '../base-url.ts';
import type { Fault } from '@millrace/shared/domain/fault';
import { readError } from './errors.ts';
import { RefusedError, refusalFault } from './refused.ts';
import { translateRequest } from './request.ts';
import { createStreamReader } from './stream.ts';
import { readWhole } from './whole.ts';
import type { Provider, ProviderCall, UpstreamRequest } from '../port.ts';

/**
 * Anthropic's Messages. The request that comes in and the answer that goes out are OpenAI's: nobody
 * else knows that another format is spoken.
 */
export const anthropic: Provider = {
  request,
  readStream: (call, sink) => createStreamReader(call, sink),
  readWhole: (text, call) => readWhole(text, call),
  readError: (status, text, { body }) => readError(status, text, { body }),
};

/** The one version of the API that there is; what is new comes by members and models. */
const apiVersion = '2023-06-01';

function request(call: ProviderCall): UpstreamRequest | Fault {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: call.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'millrace',
    'anthropic-version': apiVersion,
  };
  if (call.apiKey !== undefined) headers['x-api-key'] = call.apiKey;
  if (call.traceparent !== undefined) headers['traceparent'] = call.traceparent;
  try {
    return { path: messagesPath(call.baseUrl), headers, body: translateRequest(call) };
  } catch (error) {
    if (error instanceof RefusedError) return refusalFault(error);
    throw error;
  }
}

/** The base URL is Anthropic's own, without the version, or one like OpenAI's, with it. */
function messagesPath(baseUrl: string): string {
  const path = partsOf(baseUrl).pathname;
  return `${path}${path.endsWith('/v1') ? '' : '/v1'}/messages`;
}
