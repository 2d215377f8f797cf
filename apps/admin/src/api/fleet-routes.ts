import { setTimeout as sleep } from 'node:timers/promises';
import type { Order } from '@millrace/shared/domain/order';
import { withTimeout } from '@millrace/shared/runtime/timeout';
import { passesByItself } from '@millrace/shared/store/redis-failure';
import type { Fleet, FleetProcess } from '@millrace/shared/store/fleet/port';
import type { LedgerBacklog } from '@millrace/shared/store/ledger/port';
import type { RedisMemory } from '@millrace/shared/store/redis-memory';
import type { QueueState } from '@millrace/shared/store/queue/queue-state';
import type { FastifyInstance } from 'fastify';
import { AdminError } from './admin-error.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';

/** The fleet as these routes need it. During an outage of Redis a call may wait for its end. */
export type FleetSource = Fleet & {
  /** Whether Redis is reachable. */
  isReady(): boolean;
  queue(): Promise<QueueState>;
  /** `problem`: why its database takes no entries. Undefined: this fleet keeps no ledger. */
  backlog(): Promise<(LedgerBacklog & { problem: string | null }) | undefined>;
  /** Undefined: the user of Redis may not ask for it. */
  memory(): Promise<RedisMemory | undefined>;
  /** Shards of the queue. */
  readonly shards: number;
  /**
   * Milliseconds in which a process should have carried an order out; otherwise the answer is a 202.
   * @defaultValue 3000
   */
  patienceMs?: number;
  /**
   * Milliseconds that an operator waits for each answer of Redis.
   * @defaultValue 3000
   */
  answerMs?: number;
  onError(error: unknown): void;
};

/** Milliseconds until the first look whether it has; doubled with every look. */
const firstLookMs = 5;

type ProcessRoute = { Params: { process: string }; Querystring: Query };

/** `GET /admin/fleet`, `POST /admin/fleet/{process}/drain` and `…/resume`. */
export function fleetRoutes(app: FastifyInstance, fleet: FleetSource): void {
  app.get<{ Querystring: Query }>('/admin/fleet', async ({ query }) => {
    knownOnly(query, []);
    const now = Date.now();
    const [processes, queue, ledger, memory] = await ask(fleet, () =>
      Promise.all([fleet.list(), fleet.queue(), fleet.backlog(), fleet.memory()]),
    );
    return {
      processes: processes.map((one) => processView(one, now)),
      queue: queueView(queue, now),
      ledger: ledger ?? null,
      redis: {
        shards: fleet.shards,
        used_bytes: memory?.used ?? null,
        // Redis says 0 for no limit.
        max_bytes: memory && memory.max > 0 ? memory.max : null,
      },
    };
  });

  for (const order of ['drain', 'resume'] as const) {
    app.post<ProcessRoute>(`/admin/fleet/:process/${order}`, async (request, reply) => {
      const { process: name } = request.params;
      knownOnly(request.query, []);
      const ordered = await carryOut(fleet, name, order);
      if (!ordered.isDone) reply.code(202);
      return processView(ordered.process, Date.now());
    });
  }
}

/** Sends the order, and waits until the process says that it has carried it out. */
async function carryOut(fleet: FleetSource, name: string, order: Order) {
  const before = await find(fleet, name);
  if (!before) throw notFound(name);
  if (before.role === 'admin') {
    throw new AdminError(
      400,
      'not_drainable',
      `${name} is a control plane, which takes no requests of clients: only an ingress or a worker can be drained.`,
    );
  }
  const outcome = await ask(fleet, (signal) => fleet.send(name, order, signal));
  if (outcome === 'gone') throw notFound(name);
  if (outcome === 'stopping') throw stopping(name);
  const wanted = order === 'drain' ? 'draining' : 'serving';
  const until = performance.now() + (fleet.patienceMs ?? 3000);
  let process = before;
  for (let waitMs = firstLookMs; performance.now() < until; waitMs *= 2) {
    const found = await find(fleet, name);
    if (!found) throw notFound(name);
    if (found.stage === 'stopping') throw stopping(name);
    process = found;
    if (process.stage === wanted) return { process, isDone: true };
    await sleep(Math.min(waitMs, Math.max(0, until - performance.now())));
  }
  return { process, isDone: false };
}

const find = async (fleet: FleetSource, name: string): Promise<FleetProcess | undefined> =>
  (await ask(fleet, () => fleet.list())).find((one) => one.name === name);

const notFound = (name: string): AdminError =>
  new AdminError(
    404,
    'process_not_found',
    `No process ${name.slice(0, 100)} runs in this fleet, or Redis cannot reach it: GET /admin/fleet lists them.`,
  );

const stopping = (name: string): AdminError =>
  new AdminError(409, 'process_stopping', `${name} is stopping: it takes no new work, and exits.`);

/** Rejects with a 503 if Redis does not answer in time. The signal tells work that it is not waited for any more. */
async function ask<T>(
  { isReady, onError, answerMs = 3000 }: FleetSource,
  question: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (!isReady()) throw unavailable();
  const over = new AbortController();
  try {
    return await withTimeout(question(over.signal), answerMs, unavailable);
  } catch (error) {
    over.abort();
    if (!passesByItself(error)) throw error;
    onError(error);
    throw unavailable();
  }
}

const unavailable = (): AdminError =>
  new AdminError(
    503,
    'redis_unavailable',
    'Redis does not answer; try again. An order may have been sent: GET /admin/fleet lists what each process does.',
  );

function processView(process: FleetProcess, now: number) {
  const { name, role, version, host, pid, startedAt, stage, counts, isListening } = process;
  return {
    name,
    role,
    stage,
    listening: isListening,
    version,
    host,
    pid,
    started_at: new Date(startedAt).toISOString(),
    uptime_s: Math.max(0, Math.round((now - startedAt) / 1000)),
    counts,
  };
}

function queueView({ waiting, active, oldestAt, pausedShards }: QueueState, now: number) {
  const oldest_ms = oldestAt === undefined ? null : Math.max(0, now - oldestAt);
  return { waiting, active, oldest_ms, paused_shards: pausedShards };
}
