import type { Fault } from '@millrace/shared/domain/fault';
import type { UpstreamRequest } from '../upstream/call.ts';
import { toOpenAiError } from './anthropic/errors.ts';
import { RefusedError, refusalFault } from './anthropic/refused.ts';
import { translateRequest } from './anthropic/request.ts';
import { createStreamReader } from './anthropic/stream.ts';
import { readWhole } from './anthropic/whole.ts';
import type { Provider, ProviderCall } from './port.ts';

export { canPrefill } from './anthropic/models.ts';
export { joinPrefilled, withPrefill } from './anthropic/prefill.ts';
export type { Prefilled } from './anthropic/prefill.ts';
export { translateWhole } from './anthropic/whole.ts';

/**
 * Anthropic's Messages. The request that comes in and the answer that goes out are OpenAI's: nobody
 * else knows that another format is spoken.
 */
export const anthropic: Provider = {
  request,
  readStream: (call, sink) => createStreamReader(call.model, sink),
  readWhole,
  readError: (text) => toOpenAiError(parse(text)),
};

/** The one version of the API that there is; what is new comes by members and models. */
const apiVersion = '2023-06-01';

export type Prepared =
  | { kind: 'request'; request: UpstreamRequest }
  /** The request asks for what Anthropic's format cannot say: a 400 that names the member. */
  | { kind: 'refused'; fault: Fault };

/** The call in Anthropic's words. */
export function prepare(call: ProviderCall): Prepared {
  try {
    return { kind: 'request', request: request(call) };
  } catch (error) {
    if (error instanceof RefusedError) return { kind: 'refused', fault: refusalFault(error) };
    throw error;
  }
}

/** @throws {RefusedError} where `prepare` says `refused`. */
function request(call: ProviderCall): UpstreamRequest {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: call.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'millrace',
    'anthropic-version': apiVersion,
  };
  if (call.apiKey !== undefined) headers['x-api-key'] = call.apiKey;
  if (call.traceparent !== undefined) headers['traceparent'] = call.traceparent;
  return { path: messagesPath(call.baseUrl), headers, body: translateRequest(call.body, call) };
}

/** The base URL is Anthropic's own, without the version, or one like OpenAI's, with it. */
function messagesPath(baseUrl: string): string {
  const path = new URL(baseUrl).pathname.replace(/\/+$/, '');
  return `${path}${path.endsWith('/v1') ? '' : '/v1'}/messages`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
