import { showBounds } from '@millrace/shared/runtime/bounds';
import type { Bound } from '@millrace/shared/runtime/bounds';
import { showConfig } from '@millrace/shared/runtime/config-metrics';
import type { ConfigSource } from '@millrace/shared/runtime/config-source';
import type { RequestMeta } from '@millrace/shared/domain/request';
import {
  answerBuckets,
  collectProcessMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
} from '@millrace/shared/runtime/metrics';
import type { WorkerReport } from '@millrace/shared/store/reports/port';
import { admissionMetrics } from './queue-metrics.ts';
import type { Load } from '../admission/expected-wait.ts';
import { gauge, orElse, showFleet } from './fleet-gauges.ts';
import type { FleetSources } from './fleet-gauges.ts';
import { unite } from './fleet-metrics.ts';
import type { RequestOutcome } from './request-log.ts';

/** The metrics of the ingress. One registry for the process, created in main.ts. */
export type Metrics = {
  opened(meta: RequestMeta): void;
  closed(meta: RequestMeta, answer: Answered): void;
  socketOpened(): void;
  socketClosed(): void;
  /** A WebSocket ended, also one that was not authenticated. */
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

/** How the response to a synchronous request ended. */
export type Answered = {
  /** Of the response; 499 if the client left before it was complete. */
  status: number;
  outcome: RequestOutcome;
  /** Milliseconds from the arrival of the request to the end of its response, and to the first text of a stream. */
  ms: number;
  firstTextMs: number | undefined;
};

export type Page = { contentType: string; text: string };

export type MetricsSources = {
  queueCounts(): Promise<Record<string, number>>;
  /** The load of the queue, up to 200 ms old. */
  load(): Load | undefined;
  /** Shards whose queue an operator has paused. */
  pausedShards(): Promise<readonly number[]>;
  workers(): Promise<number>;
  readers(): number;
  /** Open connections of clients. */
  connections(): number;
  fleet: FleetSources;
  reports(): Promise<readonly WorkerReport[]>;
  bounds: readonly Bound[];
  source: Pick<ConfigSource, 'state'>;
};

type Registers = Registry[];

/** With one more, because clients also wait in the queue. */
const buckets = [...answerBuckets, 300];

/** Metrics of clients at this ingress. */
function clientMetrics(registers: Registers) {
  const open = new Gauge({
    name: 'millrace_requests_open',
    help: 'Synchronous requests whose response is not complete',
    labelNames: ['model', 'stream'],
    registers,
  });
  const responses = new Counter({
    name: 'millrace_responses_total',
    help: 'Synchronous requests by the status of their response and its outcome; 499: the client left',
    labelNames: ['model', 'stream', 'status', 'outcome'],
    registers,
  });
  const durations = new Histogram({
    name: 'millrace_request_seconds',
    help: 'Time from the arrival of a synchronous request to the end of its response',
    labelNames: ['model', 'stream', 'outcome'],
    buckets,
    registers,
  });
  const firstTexts = new Histogram({
    name: 'millrace_request_first_token_seconds',
    help: 'Time from the arrival of a synchronous request for a stream to the first text for its client, queue included',
    labelNames: ['model'],
    buckets,
    registers,
  });
  const sockets = new Gauge({
    name: 'millrace_websockets_open',
    help: 'WebSocket connections',
    registers,
  });
  const socketEnds = new Counter({
    name: 'millrace_websocket_ends_total',
    help: 'WebSockets that ended, by reason; client: with a closing handshake; lost: without one',
    labelNames: ['reason'],
    registers,
  });
  const refusals = new Counter({
    name: 'millrace_refusals_total',
    help: 'Refused requests, by reason and, if known, the id of the key',
    labelNames: ['reason', 'key'],
    registers,
  });
  return { open, responses, durations, firstTexts, sockets, socketEnds, refusals };
}

/** Connections, and what one costs in memory. */
function connectionGauges(registers: Registers, connections: () => number): void {
  const residentAtStart = process.memoryUsage.rss();
  new Gauge({
    name: 'millrace_connections_open',
    help: 'Open connections of clients to this ingress, WebSockets and idle ones included',
    registers,
    collect() {
      this.set(connections());
    },
  });
  new Gauge({
    name: 'millrace_connection_memory_bytes',
    help: 'Resident memory of this ingress above that at its start, for each open connection; no series without one',
    registers,
    collect() {
      const open = connections();
      this.remove();
      if (open > 0) this.set(Math.max(0, process.memoryUsage.rss() - residentAtStart) / open);
    },
  });
}

/** Gauges of the queue and the fleet, read at each scrape. */
function fleetGauges(registers: Registers, sources: MetricsSources): void {
  new Gauge({
    name: 'millrace_readers_open',
    help: 'Readers of streams on this ingress, over SSE and WebSocket',
    registers,
    collect() {
      this.set(sources.readers());
    },
  });
  gauge(registers, {
    name: 'millrace_queue_jobs',
    help: 'Jobs in the queue by state',
    labelNames: ['state'],
    read: async (set) => {
      for (const [state, count] of Object.entries(await sources.queueCounts())) {
        set(count, { state });
      }
    },
  });
  gauge(registers, {
    name: 'millrace_queue_paused',
    help: 'Shards whose queue was paused: workers get no jobs of them',
    read: async (set) => set((await sources.pausedShards()).length),
  });
  gauge(registers, {
    name: 'millrace_workers',
    help: 'Workers that are subscribed on every shard',
    read: async (set) => set(await sources.workers()),
  });
}

/** Metrics of takeovers and hand-overs. */
function takeoverMetrics(registers: Registers) {
  const deaths = new Counter({
    name: 'millrace_worker_deaths_total',
    help: 'Workers declared dead by this ingress; gone: the process ended; hung: its event loop was blocked',
    labelNames: ['cause', 'shard'],
    registers,
  });
  const takeovers = new Counter({
    name: 'millrace_takeovers_total',
    help: 'Requests of dead workers that this ingress moved back to the queue',
    labelNames: ['shard'],
    registers,
  });
  const falseAlarms = new Counter({
    name: 'millrace_false_alarms_total',
    help: 'Workers that this ingress declared dead and that came back',
    labelNames: ['cause', 'shard'],
    registers,
  });

  const handOvers = new Counter({
    name: 'millrace_handed_over_total',
    help: 'Requests and readers that this ingress handed over because it stops',
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
  const clients = clientMetrics(registers);
  const { open, responses, sockets, socketEnds, refusals } = clients;
  connectionGauges(registers, sources.connections);
  fleetGauges(registers, sources);
  showFleet(registers, sources.fleet);
  const { admitted, shed } = admissionMetrics(registers, sources.load);
  const { deaths, takeovers, falseAlarms, handOvers, poisonedRequests } =
    takeoverMetrics(registers);
  showBounds(registry, sources.bounds);
  showConfig(registry, sources.source);

  let rendering: Promise<Page> | undefined;
  async function render(): Promise<Page> {
    // Concurrently, so that an unreachable Redis is waited for once.
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

  // Of a name that a client made up, the alias that serves it.
  const modelOf = ({ model, alias = model }: RequestMeta): string => alias;
  const labels = (meta: RequestMeta) => ({ model: modelOf(meta), stream: String(meta.stream) });
  return {
    opened: (meta) => open.inc(labels(meta)),
    closed(meta, { status, outcome, ms, firstTextMs }) {
      open.dec(labels(meta));
      responses.inc({ ...labels(meta), status: String(status), outcome });
      clients.durations.observe({ ...labels(meta), outcome }, ms / 1000);
      if (firstTextMs !== undefined) {
        clients.firstTexts.observe({ model: modelOf(meta) }, firstTextMs / 1000);
      }
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
    // Concurrent scrapes share one page: any client may scrape, and a page takes time.
    render: () =>
      (rendering ??= render().finally(() => {
        rendering = undefined;
      })),
  };
}
