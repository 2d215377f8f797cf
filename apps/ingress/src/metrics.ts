import type { RequestMeta } from '@millrace/shared/domain/request';
import { within } from './within.ts';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

/** What the ingress counts. One registry for the process, made in main.ts. */
export type Metrics = {
  opened(meta: RequestMeta): void;
  /** `status`: of the response, 499 when the client went away before it was complete. */
  closed(meta: RequestMeta, status: number): void;
  socketOpened(): void;
  socketClosed(): void;
  render(): Promise<{ contentType: string; text: string }>;
};

export type MetricsSources = {
  queueCounts(): Promise<Record<string, number>>;
  workers(): Promise<number>;
  readers(): number;
};

/** Without Redis there is still much to tell. */
async function orNothing(work: Promise<Record<string, number>>): Promise<Record<string, number>> {
  try {
    return await within(work, 1000);
  } catch {
    return {};
  }
}

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'millrace_ingress_' });

  const open = new Gauge({
    name: 'millrace_requests_open',
    help: 'Synchronous requests whose response is not complete',
    labelNames: ['model', 'stream'],
    registers,
  });
  const responses = new Counter({
    name: 'millrace_responses_total',
    help: 'Synchronous requests by the status of their response; 499: the client went away',
    labelNames: ['model', 'stream', 'status'],
    registers,
  });
  const sockets = new Gauge({
    name: 'millrace_websockets_open',
    help: 'WebSocket connections',
    registers,
  });
  new Gauge({
    name: 'millrace_readers_open',
    help: 'Readers of streams on this ingress, over SSE and WebSocket',
    registers,
    collect() {
      this.set(sources.readers());
    },
  });
  new Gauge({
    name: 'millrace_queue_jobs',
    help: 'Jobs in the queue by state',
    labelNames: ['state'],
    registers,
    async collect() {
      for (const [state, count] of Object.entries(await orNothing(sources.queueCounts()))) {
        this.set({ state }, count);
      }
    },
  });
  new Gauge({
    name: 'millrace_workers',
    help: 'Workers that are present on every shard',
    registers,
    async collect() {
      const { workers } = await orNothing(sources.workers().then((count) => ({ workers: count })));
      if (workers === undefined) this.reset();
      else this.set(workers);
    },
  });

  const labels = ({ model, stream }: RequestMeta) => ({ model, stream: String(stream) });
  return {
    opened: (meta) => open.inc(labels(meta)),
    closed(meta, status) {
      open.dec(labels(meta));
      responses.inc({ ...labels(meta), status: String(status) });
    },
    socketOpened: () => sockets.inc(),
    socketClosed: () => sockets.dec(),
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
