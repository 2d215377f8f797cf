import { Job, Queue, UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import { judgeDeath } from '../domain/poison.ts';
import type { JobData } from '../domain/request.ts';
import { queueName, shardOf } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { createDeadWorkersJobs } from './casualties.ts';
import { createDamagedJobs } from './damaged-jobs.ts';
import { heldJobs, takeBack, wake } from './held-jobs.ts';
import type { HeldJob } from './held-jobs.ts';
import { keptEvents, keptOptions } from './kept-jobs.ts';
import { isNotOurs } from './lock-errors.ts';
import type { JobQueue, JobState, WorkerDeath } from './port.ts';
import { isDamage } from '../redis-failure.ts';
import { createWaitingLine } from './waiting-line.ts';

export type BullQueueOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** Finished jobs stay visible to operators this long, and at most `keptJobs` of them. */
  retentionMs: number;
  onError: (error: Error) => void;
};

/** The queues of every shard, as BullMQ has them. `board` is for Bull Board only. */
export function createBullQueue(options: BullQueueOptions): JobQueue & { board: Queue[] } {
  const { redis, keys, shards, retentionMs, onError } = options;
  const kept = keptOptions(retentionMs);
  const queues = new Map<number, Queue>();
  const line = createWaitingLine({ redis, keys });

  /** Ids keep naming their shard when the number of shards was lowered. */
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

  /** What becomes of each job of a dead worker, under way: 1 for one that waits again. */
  async function judged(shard: number, worker: string, death: WorkerDeath) {
    const queue = queueOf(shard);
    const dead = createDeadWorkersJobs(redis, keys, shard, queue);
    const { jobs, unexplained } = await dead.find(worker, death.silentMs);
    const fates = judgeDeath(jobs, { cause: death.cause, unexplained });
    const isExplained = fates.some((fate) => fate === 'blamed' || fate === 'poisoned');
    // Beside the moves, which their readers wait for.
    const noted = isExplained ? [] : [dead.noteUnexplained(worker).then(() => 0)];
    const moves = jobs.map(async (job, i) => {
      const fate = fates[i] ?? 'go_on';
      if (fate === 'poisoned') return fail(queue, job, death);
      if (fate === 'go_on') return takeBack(queue, job);
      const outcome = await dead.sendBehind(job, fate);
      // The worker that takes it finds the end, and completes the job.
      return outcome === 'ended' ? takeBack(queue, job) : Number(outcome === 'back');
    });
    return [...moves, ...noted];
  }

  /** The end of the request first: no worker writes it once the job has failed. */
  async function fail(queue: Queue, { id, token }: HeldJob, death: WorkerDeath): Promise<number> {
    await death.condemn(id);
    const job = await Job.fromId(queue, id);
    try {
      await job?.moveToFailed(new UnrecoverableError('poisoned_request'), token);
    } catch (error) {
      if (!isNotOurs(error)) throw error;
    }
    return 0;
  }

  const board = Array.from({ length: shards }, (_, shard) => queueOf(shard));

  return {
    board,

    async remove(id) {
      const queue = queueOf(shardOf(id));
      const data = await redis.hget(queue.toKey(id), 'data').catch((error: unknown) => {
        if (isDamage(error)) return undefined;
        throw error;
      });
      if (data === undefined) {
        const tell = (error: unknown) => onError(error as Error);
        const damaged = { redis, keys, shard: shardOf(id), queue, onError: tell };
        return createDamagedJobs(damaged).remove(id);
      }
      const { standing } = JSON.parse(data ?? '{}') as Partial<JobData>;
      if (standing && (await line.leave(id, standing))) return true;
      // One whose lock ran out waits outside of the line.
      const state = await queue.getJobState(id);
      // BullMQ would remove one that has ended meanwhile, too; operators are to see it.
      if (!waitingStates.has(state)) return false;
      return (await queue.remove(id)) === 1;
    },

    async state(id) {
      const state = await queueOf(shardOf(id)).getJobState(id);
      return waitingStates.has(state) ? 'waiting' : (state as JobState);
    },

    async position(id) {
      const [position] = await line.positions([id]);
      return position;
    },

    positions: (ids) => line.positions(ids),
    look: (now) => line.look(shards, now),
    strike: (ids) => line.strike(ids),

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

    async takeFrom(shard, worker, death) {
      const queue = queueOf(shard);
      const moves = death
        ? await judged(shard, worker, death)
        : (await heldJobs(redis, queue, worker)).map((job) => takeBack(queue, job));
      // All of them first: one that fails is found again by the next call.
      const moved = await Promise.allSettled(moves);
      if (moved.some((one) => one.status === 'fulfilled' && one.value > 0))
        await wake(redis, queue.qualifiedName);
      for (const one of moved) if (one.status === 'rejected') throw one.reason;
      return moved.reduce((sum, one) => sum + (one.status === 'fulfilled' ? one.value : 0), 0);
    },

    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
}

const countNames = ['waiting', 'active', 'completed', 'failed'] as const;

const waitingStates = new Set<string>(['waiting', 'prioritized', 'delayed', 'waiting-children']);
