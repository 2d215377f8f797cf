import type { FastifyRequest } from 'fastify';
import { plainCode } from '@millrace/shared/runtime/log-redaction';
import type { Attributes, Telemetry } from '@millrace/shared/telemetry/port';
import {
  beginTrace,
  readTraceparent,
  traceparentOf,
} from '@millrace/shared/telemetry/trace-context';
import type { TraceContext, TraceHeaders } from '@millrace/shared/telemetry/trace-context';
import type { JobData } from '@millrace/shared/domain/request';
import type { RequestOutcome } from './request-log.ts';
import { pathOf } from '../url-path.ts';

/* The span of a request in this ingress: the root of what Millrace does for it, or a child of its client's span. */

/** How a traced request ended, as its line in the log has it. */
export type EndedRequest = {
  /** Absent: it was refused before it had one. */
  id?: string | undefined;
  /** Of an HTTP request; of a frame only that of its error. */
  status?: number;
  outcome: RequestOutcome;
  code?: string | null | undefined;
  key: string | undefined;
  model?: string | undefined;
  attempts?: number | undefined;
};

export type RequestSpan = {
  /** For the job of the request. */
  readonly trace: NonNullable<JobData['trace']>;
  /** Never throws. */
  end(ended: EndedRequest): void;
};

export type Tracing = {
  /** Undefined: the request is not sampled. */
  beginHttp(request: FastifyRequest): RequestSpan | undefined;
  /** A `create` frame on a WebSocket: every one begins a trace of its own. */
  beginFrame(route: string): RequestSpan | undefined;
};

export function createTracing(
  telemetry: Telemetry,
  onError: (error: unknown) => void,
  now: () => number = Date.now,
): Tracing {
  function begin(headers: TraceHeaders, name: string, more: Attributes): RequestSpan | undefined {
    const { sample, trustClients } = telemetry;
    const context = beginTrace(trustClients ? headers : {}, sample);
    if (!context) return undefined;
    const client = trustClients ? undefined : readTraceparent(headers['traceparent']);
    const startedAt = now();
    return {
      trace: { parent: traceparentOf(context), state: context.state },
      end(ended) {
        try {
          telemetry.record(spanOf(ended, { context, client, name, startedAt, now, more }));
        } catch (error) {
          onError(error);
        }
      },
    };
  }

  return {
    beginHttp(request) {
      const route = request.routeOptions.url ?? '';
      return begin(request.headers, `${request.method} ${route}`, {
        'http.request.method': request.method,
        'http.route': route,
        'url.path': pathOf(request.url),
        'url.scheme': request.protocol,
      });
    },
    beginFrame: (route) => begin({}, `create ${route}`, { 'http.route': route }),
  };
}

type Begun = {
  context: TraceContext;
  /** The client's span, if the trace is not the client's. */
  client: Pick<TraceContext, 'traceId' | 'spanId'> | undefined;
  name: string;
  startedAt: number;
  now(): number;
  more: Attributes;
};

function spanOf(ended: EndedRequest, { context, client, name, startedAt, now, more }: Begun) {
  const { id, status, outcome, code, key, model, attempts } = ended;
  const isFailed = outcome === 'failed';
  return {
    ...context,
    ...(client && {
      links: [{ traceId: client.traceId, spanId: client.spanId, attributes: {} }],
    }),
    name,
    kind: 'server' as const,
    startedAt,
    endedAt: now(),
    // An error of the client is none of the server. A stream that failed had sent its 200.
    isError: isFailed && (status === undefined || status >= 500 || status < 400),
    attributes: {
      ...more,
      'http.response.status_code': status,
      'error.type': isFailed ? (plainCode(code) ?? String(status)) : undefined,
      'millrace.request.id': id,
      'millrace.key.id': key,
      'millrace.model': model,
      'millrace.outcome': outcome,
      'millrace.attempts': attempts,
    },
  };
}
