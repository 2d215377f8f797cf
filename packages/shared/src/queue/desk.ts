import { randomUUID } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { Worker } from 'bullmq';
import type { Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { JobData } from '../domain/request.ts';
import { queueName } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { retryRefused } from '../retry-refused.ts';
import { wake } from './held-jobs.ts';
import { createDamagedJobs } from './damaged-jobs.ts';
import { isNotOurs } from './lock-errors.ts';
import { createPassingOver } from './passing-over.ts';
import type { PutBack } from './passing-over.ts';

export type DeskOptions = {
  redis: Redis;
  keys: Keyspace;
  shard: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  onError(error: unknown): void;
};

/** One shard's queue as a worker uses it. What it does to a job that is not ours any more, it does not. */
export type Desk = ReturnType<typeof openDesk>;

export type HeldBullJob = Job<JobData, string>;

/**
 * Seconds that the blocking read waits before the queue is looked at all the same: the longest that a
 * job waits whose wake-up was lost with a connection.
 */
const drainDelaySeconds = 1;

/** Milliseconds after which a worker that avoids some models looks for jobs of the others again. */
const lookAgainMs = 50;

/** Milliseconds that a lock outlives its last renewal: BullMQ's default, as its stalled check expects. */
export const lockMs = 30_000;

/**
 * Locks of one job that may run out. BullMQ fails a job at the second one, but a lock says nothing of the
 * job: it runs out as well when Redis is away for longer than `lockMs`, twice in a long answer. Which
 * job killed its workers is the reaper's to say (domain/poison.ts); this is the bound behind it.
 */
const maxLostLocks = 9;

/** How long the end of a job is tried for, while Redis refuses it for now; milliseconds. */
const settleMs = 10_000;

/** As BullMQ gives a job: its fields and its id, or nothing. */
class DeskWorker extends Worker<JobData, string> {
  async taken([fields, id]: unknown[], token: string): Promise<HeldBullJob | undefined> {
    const json = fields as Parameters<Worker['nextJobFromJobData']>[0];
    return this.nextJobFromJobData(json, id as string, token);
  }
}

/**
 * BullMQ's Worker, whose own loop does not run: it would fetch whatever comes first, one job after the
 * other, and as long as it sleeps it cannot be told to take none.
 */
export function openDesk({ redis, keys, shard, name, onError }: DeskOptions) {
  const worker = new DeskWorker(queueName, null, {
    connection: redis,
    prefix: keys.tag(shard),
    name,
    autorun: false,
    lockDuration: lockMs,
    maxStalledCount: maxLostLocks,
    // BullMQ tracks by job id: where a worker gets a job back that was taken from it, the end of the
    // old run would stop the renewal of the new one's lock.
    skipLockRenewal: true,
  });
  worker.on('error', (error) => void damaged.note(error));
  worker.startStalledCheckTimer().catch(onError);
  const damaged = createDamagedJobs({ redis, keys, shard, queue: worker, onError });
  const passing = createPassingOver(redis, keys, shard, worker);
  const closing = new AbortController();
  const { signal } = closing;

  /** Does it when Redis does, and never to somebody else's job: false when it is not ours any more. */
  async function settle(work: () => Promise<unknown>): Promise<boolean> {
    try {
      const tried = await damaged.guard(() => retryRefused(work, { withinMs: settleMs }));
      // It was this one, or the one that its end should have brought along.
      if (!tried) return false;
      const done = tried.value;
      // The job stays as it is: BullMQ's stalled check finds it, while one that failed would be lost.
      if (done.kind === 'refused') onError(done.error);
      return done.kind === 'done';
    } catch (error) {
      if (isNotOurs(error)) return false;
      throw error;
    }
  }

  return {
    worker,

    /** The next job, without waiting for one. */
    async fetch(avoided: ReadonlySet<string>): Promise<HeldBullJob | undefined> {
      if (avoided.size > 0 && !(await passing.pick(avoided))) return undefined;
      for (;;) {
        const tried = await damaged.guard(() => worker.getNextJob(randomUUID(), { block: false }));
        if (tried) return tried.value;
      }
    },

    /** Until a job was added, or for a while; for less of it while some are avoided. */
    async sleep(mayTake: () => boolean, isAvoiding: () => boolean): Promise<void> {
      if (isAvoiding()) {
        await sleepFor(lookAgainMs, undefined, { signal }).catch(() => {});
        return;
      }
      try {
        const woken = await worker.getBackend().waitForJob(drainDelaySeconds);
        // One worker is woken: who cannot go lets the next one.
        if (woken && (isAvoiding() || !mayTake())) await wake(redis, worker.qualifiedName);
      } catch (error) {
        if (!signal.aborted) await worker.getBackend().reconnectBlocking().catch(onError);
        throw error;
      }
    },

    /** With `brings`, the next job in the same step, where one waits: with the same token, as BullMQ does. */
    async complete(
      job: HeldBullJob,
      summary: string,
      brings: boolean,
    ): Promise<HeldBullJob | undefined> {
      const token = job.token ?? '';
      let next: unknown;
      try {
        await settle(async () => {
          next = await job.moveToCompleted(summary, token, brings);
        });
      } catch (error) {
        await settle(() => job.moveToFailed(error as Error, token));
      }
      return Array.isArray(next) ? worker.taken(next, token) : undefined;
    },

    async fail(job: HeldBullJob, error: Error): Promise<void> {
      await settle(() => job.moveToFailed(error, job.token ?? ''));
    },

    /** In front of all, for another worker. */
    async handBack(job: HeldBullJob): Promise<void> {
      await settle(() => job.moveToWait(job.token ?? ''));
      // By itself: a second try of both would find the job moved, and wake nobody.
      await settle(() => wake(redis, worker.qualifiedName));
    },

    /** To where it stood, as if it had not been taken. */
    async putBack(job: HeldBullJob): Promise<PutBack> {
      let outcome: PutBack = 'lost';
      await settle(async () => {
        outcome = await passing.putBack(job, job.token ?? '');
      });
      return outcome;
    },

    wake: () => wake(redis, worker.qualifiedName),

    isPaused: () => worker.getBackend().hasQueueMetaField('paused'),

    /** Ends the sleep. */
    async stop(): Promise<void> {
      closing.abort();
      await worker.getBackend().disconnectBlocking();
    },

    close: () => worker.close(),
  };
}
