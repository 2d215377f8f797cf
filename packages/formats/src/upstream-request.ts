import type { Fault } from '@millrace/shared/domain/fault';
import type { ProviderCall, UpstreamRequest } from './port.ts';
import { RefusedError, refusalFault } from './refused.ts';

/** The request of a call. `headers`: the format's own, with the key. */
export const upstreamRequest = (
  call: ProviderCall,
  { path, body, bytes, headers }: UpstreamRequest,
): UpstreamRequest => ({
  path,
  headers: {
    'content-type': 'application/json',
    accept: call.stream ? 'text/event-stream' : 'application/json',
    'user-agent': 'millrace',
    ...headers,
    ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
    ...(call.tracestate !== undefined && { tracestate: call.tracestate }),
  },
  body,
  ...(bytes && { bytes }),
});

/** As `upstreamRequest`; a fault if the translation refuses the request. */
export function translatedRequest(
  call: ProviderCall,
  translate: () => UpstreamRequest,
): UpstreamRequest | Fault {
  try {
    return upstreamRequest(call, translate());
  } catch (error) {
    if (error instanceof RefusedError) return refusalFault(error);
    throw error;
  }
}
