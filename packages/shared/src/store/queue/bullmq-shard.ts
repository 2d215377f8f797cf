import { randomUUID } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { Job, UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { JobData } from '../../domain/request.ts';
import { queueName } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { retryRefused } from '../retry-refused.ts';
import { requeueInFront, wake } from './held-jobs.ts';
import { createDamagedJobs } from './damaged-jobs.ts';
import { isNotOurs } from './lock-errors.ts';
import { createModelFilter } from './model-filter.ts';
import type { PutBackOutcome } from './model-filter.ts';
import { createTake } from './take.ts';
import type { TakeRequest, UnreadableJob } from './take.ts';
import { toBullJob } from './taken-job.ts';
import type { TakenJob } from './taken-job.ts';
import { bullMeta } from './bullmq-layout.ts';

export type BullShardOptions = {
  redis: Redis;
  keys: Keyspace;
  shard: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  /** How long an unfinished request is kept. */
  lifetimeMs: number;
  onError(error: unknown): void;
};

/** One shard's queue as a worker uses it. It changes nothing about a job whose lock this worker has lost. */
export type BullShard = ReturnType<typeof openShard>;

/** Jobs of one fetch, and whether more of them wait. */
export type Fetched = { jobs: TakenJob[]; left: boolean };

/** Seconds of one blocking read: the longest that a job waits whose wake-up was lost with a connection. */
const drainDelaySeconds = 1;

/** Milliseconds after which a worker that skips models looks for jobs of the others again. */
const skipPauseMs = 50;

/** Milliseconds that a lock outlives its last renewal: BullMQ's default, as its stalled check expects. */
export const lockMs = 30_000;

/**
 * The most locks of one job that may expire. BullMQ's default fails a job at the second one, but an expired
 * lock is no evidence against the job: it also happens when Redis is unreachable for longer than `lockMs`,
 * twice in a long answer. The reaper decides which job killed its workers (domain/poison.ts); this is only
 * the last bound.
 */
const maxLostLocks = 9;

/** Milliseconds for which the end of a job is tried again while Redis refuses it temporarily. */
const settleMs = 10_000;

/**
 * Wraps BullMQ's Worker without its own loop, which fetches whatever comes first, one job after the other, and which
 * cannot be stopped while it sleeps.
 */
export function openShard({ redis, keys, shard, name, lifetimeMs, onError }: BullShardOptions) {
  const worker = new Worker<JobData, string>(queueName, null, {
    connection: redis,
    prefix: keys.tag(shard),
    name,
    autorun: false,
    lockDuration: lockMs,
    maxStalledCount: maxLostLocks,
    // BullMQ tracks locks by job id: if a worker gets a job back that was taken from it, the end of the old run
    // would stop the renewal of the new run's lock.
    skipLockRenewal: true,
  });
  worker.on('error', (error) => void damaged.note(error));
  worker.startStalledCheckTimer().catch(onError);
  const damaged = createDamagedJobs({ redis, keys, shard, queue: worker, onError });
  const modelFilter = createModelFilter(redis, keys, shard, worker);
  const take = createTake({ redis, keys, shard, queue: worker, name, lockMs, lifetimeMs });
  const closing = new AbortController();
  const { signal } = closing;

  /** Retries while Redis refuses temporarily. False if this worker no longer holds the job. */
  async function settle(work: () => Promise<unknown>): Promise<boolean> {
    try {
      const tried = await damaged.guard(() => retryRefused(work, { withinMs: settleMs }));
      // This job was damaged, and is removed.
      if (!tried) return false;
      const done = tried.value;
      // The job stays as it is, so that BullMQ's stalled check finds it; a failed job would be lost.
      if (done.kind === 'refused') onError(done.error);
      return done.kind === 'done';
    } catch (error) {
      if (isNotOurs(error)) return false;
      throw error;
    }
  }

  async function fetchAsBullMq(): Promise<Fetched> {
    for (;;) {
      const token = randomUUID();
      const tried = await damaged.guard(() => worker.getNextJob(token, { block: false }));
      if (!tried) continue;
      const { value: job } = tried;
      if (!job) return { jobs: [], left: false };
      const { id = '', name: model, data, attemptsStarted: number, deferredFailure, opts } = job;
      const taken = { id, name: model, data, number, token, deferredFailure, options: () => opts };
      return { jobs: [{ ...taken, uncounted: true }], left: true };
    }
  }

  async function fail(job: Omit<TakenJob, 'data'>, error: Error): Promise<void> {
    await settle(async () => {
      const known = await wholeJob(job);
      await known?.moveToFailed(error, job.token);
    });
  }

  /** The job as BullMQ stores it, including earlier failures; of an unreadable job, what is needed to end it. */
  async function wholeJob(job: Omit<TakenJob, 'data'>): Promise<Job | undefined> {
    try {
      return await Job.fromId(worker, job.id);
    } catch (error) {
      if (error instanceof SyntaxError) return toBullJob(worker, job);
      throw error;
    }
  }

  async function failUnread({ job, error }: UnreadableJob): Promise<void> {
    onError(error);
    await fail(job, new UnrecoverableError(error.message));
  }

  return {
    worker,

    /** The next jobs, without waiting for one. A worker that skips models gets them one by one. */
    async fetch(request: TakeRequest): Promise<Fetched> {
      const { skipped } = request;
      if (skipped.size > 0 && !(await modelFilter.pick(skipped))) return { jobs: [], left: false };
      const jobs = skipped.size > 0 ? 1 : request.jobs;
      for (;;) {
        const tried = await damaged.guard(() => take({ ...request, jobs }));
        if (!tried) continue;
        if (!tried.value) return fetchAsBullMq();
        const { damaged: broken, unreadable, countError } = tried.value;
        // Without waiting for these: the readers of the other jobs wait.
        for (const id of broken) damaged.remove(id).catch(onError);
        for (const one of unreadable) failUnread(one).catch(onError);
        if (countError) onError(new Error(`jobs were taken and not counted: ${countError}`));
        return tried.value;
      }
    },

    /** Waits until a job was added, or for a second; for 50 ms while the worker skips models. */
    async sleep(mayTake: () => boolean, isSkipping: () => boolean): Promise<void> {
      if (isSkipping()) {
        await sleepFor(skipPauseMs, undefined, { signal }).catch(() => {});
        return;
      }
      try {
        const woken = await worker.getBackend().waitForJob(drainDelaySeconds);
        // BullMQ wakes one worker: one that cannot take the job wakes the next.
        if (woken && (isSkipping() || !mayTake())) await wake(redis, worker.qualifiedName);
      } catch (error) {
        if (!signal.aborted) await worker.getBackend().reconnectBlocking().catch(onError);
        throw error;
      }
    },

    async complete(job: TakenJob, summary: string): Promise<void> {
      try {
        await settle(() => toBullJob(worker, job).moveToCompleted(summary, job.token, false));
      } catch (error) {
        await fail(job, error as Error);
      }
    },

    fail,

    /** Puts the job in front of all others, for another worker. */
    async handBack(job: TakenJob): Promise<void> {
      await settle(() => requeueInFront(redis, worker, [job]));
    },

    /** Puts the job back at its position, as if no worker had taken it. */
    async putBack(job: TakenJob): Promise<PutBackOutcome> {
      let outcome: PutBackOutcome = 'lost';
      await settle(async () => {
        outcome = await modelFilter.putBack(job);
      });
      return outcome;
    },

    wake: () => wake(redis, worker.qualifiedName),

    isPaused: () => worker.getBackend().hasQueueMetaField(bullMeta.paused),

    /** Ends the sleep. */
    async stop(): Promise<void> {
      closing.abort();
      await worker.getBackend().disconnectBlocking();
    },

    close: () => worker.close(),
  };
}
