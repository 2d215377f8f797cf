import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { JobData } from '../../domain/request.ts';
import { queueName, shardOf } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { createDamagedJobs } from './damaged-jobs.ts';
import { keptEvents, keptOptions } from './job-retention.ts';
import type { JobQueue, JobState } from './port.ts';
import { isDamage } from '../redis-failure.ts';
import { createTakeover } from './takeover.ts';
import { isRunError } from './run-error.ts';
import { createFairQueue } from './fair-queue.ts';
import { bullJob } from './bullmq-layout.ts';

export type BullQueueOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** Finished jobs stay visible to operators this long, and at most `keptJobs` of them. */
  retentionMs: number;
  onError: (error: Error) => void;
};

/** The BullMQ queues of every shard. `board` is for Bull Board only. */
export function createBullQueue(options: BullQueueOptions): JobQueue & { board: Queue[] } {
  const { redis, keys, shards, retentionMs, onError } = options;
  const kept = keptOptions(retentionMs);
  const queues = new Map<number, Queue>();
  const fairQueue = createFairQueue({ redis, keys });

  /** An id may name a shard above the present number of shards, if that was lowered. */
  function queueOf(shard: number): Queue {
    let queue = queues.get(shard);
    if (!queue) {
      queue = new Queue(queueName, {
        connection: redis,
        prefix: keys.tag(shard),
        streams: { events: { maxLen: keptEvents } },
        defaultJobOptions: kept,
      });
      queue.on('error', onError);
      queues.set(shard, queue);
    }
    return queue;
  }

  const board = Array.from({ length: shards }, (_, shard) => queueOf(shard));

  return {
    board,

    async remove(id) {
      const queue = queueOf(shardOf(id));
      const data = await redis.hget(queue.toKey(id), bullJob.data).catch((error: unknown) => {
        if (isDamage(error)) return undefined;
        throw error;
      });
      if (data === undefined) {
        const report = (error: unknown) => onError(error as Error);
        const damaged = { redis, keys, shard: shardOf(id), queue, onError: report };
        return createDamagedJobs(damaged).remove(id);
      }
      const { standing } = JSON.parse(data ?? '{}') as Partial<JobData>;
      if (standing && (await fairQueue.dequeue(id, standing))) return true;
      // A job whose lock ran out waits in BullMQ's plain list.
      const state = await queue.getJobState(id);
      // BullMQ would also remove a job that has ended meanwhile, which operators should still see.
      if (!waitingStates.has(state)) return false;
      return (await queue.remove(id)) === 1;
    },

    async state(id) {
      const state = await queueOf(shardOf(id)).getJobState(id);
      return waitingStates.has(state) ? 'waiting' : (state as JobState);
    },

    async runThrew(id) {
      return isRunError(await redis.hget(queueOf(shardOf(id)).toKey(id), bullJob.failedReason));
    },

    async position(id) {
      const [position] = await fairQueue.positions([id]);
      return position;
    },

    positions: (ids) => fairQueue.positions(ids),
    stats: (now) => fairQueue.stats(shards, now),
    unwatchDeadlines: (ids) => fairQueue.unwatchDeadlines(ids),

    async pausedShards() {
      const paused = await Promise.all(board.map((queue) => queue.isPaused()));
      return paused.flatMap((isPaused, shard) => (isPaused ? [shard] : []));
    },

    async counts() {
      const total = { waiting: 0, active: 0, completed: 0, failed: 0 };
      for (const queue of board) {
        const counts = await queue.getJobCounts('prioritized', ...countNames);
        for (const name of countNames) total[name] += counts[name] ?? 0;
        total.waiting += counts['prioritized'] ?? 0;
      }
      return total;
    },

    takeFrom: (shard, worker, death) =>
      createTakeover({ redis, keys, shard, queue: queueOf(shard) })(worker, death),

    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
}

const countNames = ['waiting', 'active', 'completed', 'failed'] as const;

const waitingStates = new Set<string>(['waiting', 'prioritized', 'delayed', 'waiting-children']);
