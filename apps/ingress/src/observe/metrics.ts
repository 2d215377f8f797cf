import { showBounds } from '@millrace/shared/runtime/bounds';
import type { Bound } from '@millrace/shared/runtime/bounds';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { collectProcessMetrics, Counter, Gauge, Registry } from '@millrace/shared/runtime/metrics';
import type { WorkerReport } from '@millrace/shared/store/reports/port';
import { admissionMetrics } from './queue-metrics.ts';
import type { Load } from '../admission/expected-wait.ts';
import { unite } from './fleet-metrics.ts';
import { within } from '../store-timeout.ts';

/** What the ingress counts. One registry for the process, made in main.ts. */
export type Metrics = {
  opened(meta: RequestMeta): void;
  /** `status`: of the response, 499 when the client went away before it was complete. */
  closed(meta: RequestMeta, status: number): void;
  socketOpened(): void;
  socketClosed(): void;
  /** A WebSocket ended, also one that had not shown its key yet. */
  socketEnded(reason: string): void;
  /** A client was refused. `key`: the id of the key, if it is known. */
  refused(reason: string, key: string | undefined): void;
  /** This ingress found a worker dead: `gone` (its process ended) or `hung`. */
  workerDied(cause: string, shard: number): void;
  /** This ingress put requests of dead workers back into the queue. */
  tookOver(requests: number, shard: number): void;
  /** A worker that this ingress had declared dead is back. */
  falseAlarm(cause: string, shard: number): void;
  /** This ingress stops, and handed a request or a reader over. */
  handedOver(): void;
  /** This ingress failed a request that killed its workers. */
  poisoned(shard: number): void;
  /** A request was admitted to the queue; `shed`: it was not, and why. */
  admitted(): void;
  shed(reason: string): void;
  /** The metrics of this ingress, and those that the workers report. */
  render(): Promise<Page>;
};

export type Page = { contentType: string; text: string };

export type MetricsSources = {
  queueCounts(): Promise<Record<string, number>>;
  /** Of the queue, as it was a moment ago. */
  load(): Load | undefined;
  /** Shards whose queue an operator has paused. */
  pausedShards(): Promise<readonly number[]>;
  workers(): Promise<number>;
  readers(): number;
  reports(): Promise<readonly WorkerReport[]>;
  bounds: readonly Bound[];
};

/** Milliseconds that Redis may take; then a scrape is answered without its values. */
const patienceMs = 1000;

/** A page without the values of Redis is still useful. */
async function orElse<T>(work: Promise<T>, nothing: T): Promise<T> {
  try {
    return await within(work, patienceMs);
  } catch {
    return nothing;
  }
}

type Registers = Registry[];

/** What clients do at this ingress. */
function clientMetrics(registers: Registers) {
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
  const socketEnds = new Counter({
    name: 'millrace_websocket_ends_total',
    help: 'WebSockets that ended, by what ended them; client: with a closing handshake; lost: without',
    labelNames: ['reason'],
    registers,
  });
  const refusals = new Counter({
    name: 'millrace_refusals_total',
    help: 'Requests that were not let in, by the reason and the id of the key where it is known',
    labelNames: ['reason', 'key'],
    registers,
  });
  return { open, responses, sockets, socketEnds, refusals };
}

/** What the queue and the fleet are at the moment of a scrape. */
function fleetGauges(registers: Registers, sources: MetricsSources): void {
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
      for (const [state, count] of Object.entries(await orElse(sources.queueCounts(), {}))) {
        this.set({ state }, count);
      }
    },
  });
  new Gauge({
    name: 'millrace_queue_paused',
    help: 'Shards whose queue was paused: workers get no jobs of them',
    registers,
    async collect() {
      const paused = await orElse<readonly number[] | undefined>(sources.pausedShards(), undefined);
      if (paused === undefined) this.reset();
      else this.set(paused.length);
    },
  });
  new Gauge({
    name: 'millrace_workers',
    help: 'Workers that are present on every shard',
    registers,
    async collect() {
      const workers = await orElse<number | undefined>(sources.workers(), undefined);
      if (workers === undefined) this.reset();
      else this.set(workers);
    },
  });
}

/** What this ingress does for the requests of others that stop. */
function takeoverMetrics(registers: Registers) {
  const deaths = new Counter({
    name: 'millrace_worker_deaths_total',
    help: 'Workers found dead by this ingress; gone: their process ended; hung: they stood still',
    labelNames: ['cause', 'shard'],
    registers,
  });
  const takeovers = new Counter({
    name: 'millrace_takeovers_total',
    help: 'Requests taken from dead workers by this ingress, for others to go on with',
    labelNames: ['shard'],
    registers,
  });
  const falseAlarms = new Counter({
    name: 'millrace_false_alarms_total',
    help: 'Workers that this ingress had taken for dead and that came back',
    labelNames: ['cause', 'shard'],
    registers,
  });

  const handOvers = new Counter({
    name: 'millrace_handed_over_total',
    help: 'Requests and readers that this ingress sent on to others because it stops',
    registers,
  });
  const poisonedRequests = new Counter({
    name: 'millrace_poisoned_requests_total',
    help: 'Requests whose workers died or hung one after the other, failed by this ingress',
    labelNames: ['shard'],
    registers,
  });
  return { deaths, takeovers, falseAlarms, handOvers, poisonedRequests };
}

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectProcessMetrics(registry, 'millrace_ingress_');
  const { open, responses, sockets, socketEnds, refusals } = clientMetrics(registers);
  fleetGauges(registers, sources);
  const { admitted, shed } = admissionMetrics(registers, sources.load);
  const { deaths, takeovers, falseAlarms, handOvers, poisonedRequests } =
    takeoverMetrics(registers);
  showBounds(registry, sources.bounds);

  let rendering: Promise<Page> | undefined;
  async function render(): Promise<Page> {
    // At the same time, so that a Redis that is away is waited for once.
    const [own, reports] = await Promise.all([
      registry.getMetricsAsJSON(),
      orElse(sources.reports(), []),
    ]);
    const text = await unite([
      { metrics: own },
      ...reports.map(({ name, metrics }) => ({ worker: name, metrics })),
    ]);
    return { contentType: registry.contentType, text };
  }

  const labels = ({ model, stream }: RequestMeta) => ({ model, stream: String(stream) });
  return {
    opened: (meta) => open.inc(labels(meta)),
    closed(meta, status) {
      open.dec(labels(meta));
      responses.inc({ ...labels(meta), status: String(status) });
    },
    handedOver: () => handOvers.inc(),
    admitted: () => admitted.inc(),
    shed: (reason) => shed.inc({ reason }),
    socketOpened: () => sockets.inc(),
    socketClosed: () => sockets.dec(),
    socketEnded: (reason) => socketEnds.inc({ reason }),
    refused: (reason, key = '') => refusals.inc({ reason, key }),
    workerDied: (cause, shard) => deaths.inc({ cause, shard: String(shard) }),
    tookOver: (requests, shard) => takeovers.inc({ shard: String(shard) }, requests),
    falseAlarm: (cause, shard) => falseAlarms.inc({ cause, shard: String(shard) }),
    poisoned: (shard) => poisonedRequests.inc({ shard: String(shard) }),
    // Scrapes at the same time share one page: any client may scrape, and a page takes time.
    render: () =>
      (rendering ??= render().finally(() => {
        rendering = undefined;
      })),
  };
}
