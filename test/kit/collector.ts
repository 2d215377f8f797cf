import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/* An OpenTelemetry collector that keeps what it gets: OTLP over HTTP with JSON. */

export type SeenSpan = {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  traceState: string | undefined;
  name: string;
  /** 1 internal, 2 server, 3 client. */
  kind: number;
  /** Milliseconds since the epoch. */
  start: number;
  end: number;
  isError: boolean;
  attributes: Record<string, unknown>;
  /** Of the process. */
  resource: Record<string, unknown>;
  events: { name: string; attributes: Record<string, unknown> }[];
  links: { spanId: string; attributes: Record<string, unknown> }[];
};

export type Collector = {
  readonly url: string;
  readonly spans: readonly SeenSpan[];
  /** Names of metrics, with the number of their data points. */
  readonly metrics: ReadonlyMap<string, number>;
  /** The attributes of each data point. */
  readonly points: readonly { name: string; attributes: Record<string, unknown> }[];
  /** The number of requests that were answered with 404. */
  refused(): number;
  /** Refuses connections until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  close(): Promise<void>;
};

type Value = Record<string, unknown> & { arrayValue?: { values: Value[] } };
type Attributes = { key: string; value: Value }[];

type RawSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status?: { code?: number };
  attributes: Attributes;
  events?: { name: string; attributes: Attributes }[];
  links?: { spanId: string; attributes: Attributes }[];
};

type Export = {
  resourceSpans?: {
    resource: { attributes: Attributes };
    scopeSpans: { spans: RawSpan[] }[];
  }[];
  resourceMetrics?: {
    scopeMetrics: {
      metrics: (Record<
        'sum' | 'histogram',
        { dataPoints: { attributes: Attributes }[] } | undefined
      > & {
        name: string;
      })[];
    }[];
  }[];
};

function valueOf(value: Value): unknown {
  if (value.arrayValue) return value.arrayValue.values.map(valueOf);
  // 64-bit integers are numbers or texts.
  if ('intValue' in value) return Number(value['intValue']);
  return Object.values(value)[0];
}

const plain = (attributes: Attributes = []): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, valueOf(value)]));

const ms = (nanos: string): number => Number(BigInt(nanos) / 1000n) / 1000;

const seenSpan = (span: RawSpan, resource: Record<string, unknown>): SeenSpan => ({
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: span.parentSpanId === '' ? undefined : span.parentSpanId,
  traceState: span.traceState,
  name: span.name,
  kind: span.kind,
  start: ms(span.startTimeUnixNano),
  end: ms(span.endTimeUnixNano),
  isError: span.status?.code === 2,
  attributes: plain(span.attributes),
  resource,
  events: (span.events ?? []).map(({ name, attributes }) => ({
    name,
    attributes: plain(attributes),
  })),
  links: (span.links ?? []).map(({ spanId, attributes }) => ({
    spanId,
    attributes: plain(attributes),
  })),
});

/** `takesMetrics: false`: a backend for traces only, which answers 404 to metrics. */
export async function startCollector({ takesMetrics = true } = {}): Promise<Collector> {
  let refused = 0;
  const spans: SeenSpan[] = [];
  const metrics = new Map<string, number>();
  const points: Collector['points'][number][] = [];
  const sockets = new Set<Socket>();

  function take({ resourceSpans = [], resourceMetrics = [] }: Export): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const known = plain(resource.attributes);
      for (const scope of scopeSpans) {
        for (const span of scope.spans) spans.push(seenSpan(span, known));
      }
    }
    for (const { scopeMetrics } of resourceMetrics) {
      for (const { name, sum, histogram } of scopeMetrics.flatMap((scope) => scope.metrics)) {
        const added = (sum ?? histogram)?.dataPoints ?? [];
        metrics.set(name, (metrics.get(name) ?? 0) + added.length);
        for (const { attributes } of added) points.push({ name, attributes: plain(attributes) });
      }
    }
  }

  const server: Server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => (text += part));
    request.on('end', () => {
      if (!takesMetrics && request.url === '/v1/metrics') {
        refused += 1;
        response.writeHead(404).end();
        return;
      }
      take(JSON.parse(text) as Export);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    metrics,
    points,
    refused: () => refused,
    pause: stop,
    resume: () => listen(port),
    close: async () => {
      if (server.listening) await stop();
    },
  };
}
