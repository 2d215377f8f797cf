import { DelayedError, Queue, UnrecoverableError, Worker } from 'bullmq';
import type { Job, JobType } from 'bullmq';
import type { Redis } from 'ioredis';
import { readJsonObject } from '../../domain/json.ts';
import type { Keyspace } from '../keys.ts';
import { keptDead, keptDelivered, maxWaiting, retryDelaysMs } from '../webhooks/port.ts';
import type {
  Attempted,
  Deliveries,
  Delivery,
  DeliveryState,
  DeliveryView,
} from '../webhooks/port.ts';

export type BullDeliveriesOptions = {
  redis: Redis;
  keys: Keyspace;
  /** One attempt. Never rejects; the signal aborts it when the process stops. */
  attempt(delivery: Delivery, signal: AbortSignal): Promise<Attempted>;
  onError(error: unknown): void;
  /** @defaultValue retryDelaysMs */
  delaysMs?: readonly number[];
};

/** Attempts of one process at a time. */
const concurrency = 32;
/** Milliseconds after which the attempt of a process that was killed is made again: longer than an attempt takes. */
const lockMs = 15_000;
const stalledEveryMs = 5000;
/** A killed process is no reason to give a delivery up. */
const maxStalled = 1_000_000;
const eventName = 'delivery';
/** Of messages about jobs. */
const jobPriority = 10;

const typesOf: Record<DeliveryState, JobType[]> = {
  waiting: ['active', 'waiting', 'prioritized', 'delayed'],
  delivered: ['completed'],
  dead: ['failed'],
};

type DeliveryJob = Job<Delivery, { status: number }>;

/** Most milliseconds between two looks whether a receiver has room. */
const maxPostponedMs = 60_000;

/** Twice as long each time, and up to half more, so that thousands of messages to one receiver do not come back every second. */
function postponedFor({ attemptsStarted, attemptsMade }: DeliveryJob, firstMs: number): number {
  const before = Math.max(0, attemptsStarted - attemptsMade - 1);
  const ms = Math.min(maxPostponedMs, firstMs * 2 ** Math.min(before, 10));
  return Math.round(ms * (1 + Math.random() / 2));
}

/** A queue of its own, which belongs to no shard of the requests, and which Bull Board does not show. */
export function createBullDeliveries(options: BullDeliveriesOptions): Deliveries {
  const { redis, keys, attempt, onError, delaysMs = retryDelaysMs } = options;
  const shared = { connection: redis, prefix: keys.deliveries() };
  const stopping = new AbortController();
  const queue = new Queue<Delivery, { status: number }>('webhooks', {
    ...shared,
    streams: { events: { maxLen: 100 } },
    defaultJobOptions: {
      attempts: delaysMs.length + 1,
      backoff: { type: 'custom' },
      removeOnComplete: keptDelivered,
      removeOnFail: keptDead,
      stackTraceLimit: 1,
    },
  });
  queue.on('error', onError);

  const postpone = async (job: DeliveryJob, token: string | undefined, ms: number) => {
    await job.moveToDelayed(Date.now() + ms, token);
    return new DelayedError();
  };

  async function process(job: DeliveryJob, token?: string): Promise<{ status: number }> {
    const outcome = await attempt(job.data, stopping.signal);
    if (stopping.signal.aborted && outcome.kind !== 'delivered')
      throw await postpone(job, token, 0);
    if (outcome.kind === 'delivered') return { status: outcome.status };
    if (outcome.kind === 'postponed')
      throw await postpone(job, token, postponedFor(job, outcome.ms));
    const { status, reason } = outcome;
    const failure = JSON.stringify({ status, reason });
    throw outcome.kind === 'refused' ? new UnrecoverableError(failure) : new Error(failure);
  }

  const worker = new Worker<Delivery, { status: number }>('webhooks', process, {
    ...shared,
    concurrency,
    lockDuration: lockMs,
    stalledInterval: stalledEveryMs,
    maxStalledCount: maxStalled,
    drainDelay: 5,
    settings: {
      backoffStrategy(attempts) {
        const delay = delaysMs[attempts - 1] ?? delaysMs.at(-1) ?? 0;
        // Up to a fifth more, so that the messages of an outage do not come back all at once.
        return Math.round(delay * (1 + Math.random() / 5));
      },
    },
  });
  worker.on('error', onError);

  async function counts() {
    const found = await queue.getJobCounts(...typesOf.waiting, ...typesOf.dead);
    const waiting = typesOf.waiting.reduce((sum, type) => sum + (found[type] ?? 0), 0);
    return { waiting, dead: found['failed'] ?? 0 };
  }

  async function find(id: string): Promise<{ job: DeliveryJob; state: string } | undefined> {
    const job = await queue.getJob(id);
    const state = job && (await job.getState());
    return job && state !== 'unknown' ? { job, state: String(state) } : undefined;
  }

  return {
    async add(deliveries) {
      if (deliveries.length === 0) return;
      // An operator's alerts are few, and must not wait for the receivers of clients.
      const isBounded = deliveries.some(({ request }) => request !== null);
      if (isBounded && (await counts()).waiting >= maxWaiting) {
        throw new Error(`${maxWaiting} deliveries of webhooks wait already`);
      }
      await queue.addBulk(
        deliveries.map((data) => {
          // BullMQ takes jobs without a priority first.
          const priority = data.request === null ? 0 : jobPriority;
          return { name: eventName, data, opts: { jobId: data.id, priority } };
        }),
      );
    },

    async list(state, limit) {
      const jobs = await queue.getJobs(typesOf[state], 0, limit - 1, false);
      return jobs
        .filter((job: DeliveryJob | undefined) => job !== undefined)
        .map((job) => viewOf(job, state))
        .sort((one, other) => other.createdAt - one.createdAt)
        .slice(0, limit);
    },

    async find(id) {
      const found = await find(id);
      return found && viewOf(found.job, stateOf(found.state));
    },

    counts,

    async replay(id) {
      const found = await find(id);
      if (!found) return 'unknown';
      const { job, state } = found;
      if (state === 'active') return 'busy';
      if (state === 'delayed') await job.promote();
      if (state === 'failed' || state === 'completed') {
        await job.retry(state, { resetAttemptsMade: true, resetAttemptsStarted: true });
      }
      return 'changed';
    },

    async remove(id) {
      const found = await find(id);
      if (!found) return 'unknown';
      if (found.state === 'active') return 'busy';
      return (await queue.remove(id)) === 1 ? 'changed' : 'busy';
    },

    async stop() {
      stopping.abort();
      await worker.close();
      await queue.close();
    },
  };
}

const stateOf = (state: string): DeliveryState =>
  state === 'completed' ? 'delivered' : state === 'failed' ? 'dead' : 'waiting';

function viewOf(job: DeliveryJob, state: DeliveryState): DeliveryView {
  const { id, event, url, request } = job.data;
  const failure = readJsonObject(job.failedReason ?? '');
  const isFailed = state !== 'delivered' && failure !== undefined;
  const status = state === 'delivered' ? job.returnvalue?.status : failure?.['status'];
  const isDelayed = state === 'waiting' && job.delay > 0;
  return {
    id,
    event,
    url,
    request,
    state,
    createdAt: job.timestamp,
    attempts: job.attemptsMade,
    nextAt: isDelayed ? (job.processedOn ?? job.timestamp) + job.delay : undefined,
    error: isFailed ? String(failure['reason']) : undefined,
    status: typeof status === 'number' ? status : undefined,
  };
}
