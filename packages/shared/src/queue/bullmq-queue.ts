import { Job, Queue } from 'bullmq';
import type { ChainableCommander, Redis } from 'ioredis';
import type { JobData } from '../domain/request.ts';
import { queueName, shardOf } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { heldJobs, takeBack, wake } from './held-jobs.ts';
import type { JobQueue, JobState } from './port.ts';
import { arriving, createWaitingLine } from './waiting-line.ts';

export type BullQueueOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** Finished jobs stay visible to operators this long, and at most `keptJobs` of them. */
  retentionMs: number;
  onError: (error: Error) => void;
};

/** Finished jobs that each shard keeps for Bull Board, by outcome: about 1 KB each. */
const keptJobs = 5000;

/** BullMQ's own event stream: nobody reads it here, so it is kept short. */
const keptEvents = 1000;

/** The queues of every shard, as BullMQ has them. `board` is for Bull Board only. */
export function createBullQueue(options: BullQueueOptions): JobQueue & { board: Queue[] } {
  const { redis, keys, shards, retentionMs, onError } = options;
  const keep = { age: Math.ceil(retentionMs / 1000), count: keptJobs };
  const kept = { attempts: 1, removeOnComplete: keep, removeOnFail: keep };
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

  const board = Array.from({ length: shards }, (_, shard) => queueOf(shard));

  return {
    board,

    async add(id: string, data: JobData) {
      const queue = queueOf(shardOf(id));
      const { standing } = data;
      if (!standing) await queue.add(data.model, data, { jobId: id });
      else {
        const job = new Job(
          queue,
          data.model,
          data,
          { ...kept, jobId: id, priority: arriving },
          id,
        );
        const pipeline = (await queue.backend.client).pipeline();
        // Queued at once, sent with the next command: nobody sees it before it has its place.
        await job.addJob(pipeline, {});
        await line.place(pipeline as unknown as ChainableCommander, id, { ...data, standing });
      }
    },

    async remove(id) {
      const queue = queueOf(shardOf(id));
      const [state, data] = await Promise.all([
        queue.getJobState(id),
        redis.hget(queue.toKey(id), 'data'),
      ]);
      // BullMQ would remove one that has ended meanwhile, too; operators are to see it.
      if (!waitingStates.has(state)) return false;
      const isRemoved = (await queue.remove(id)) === 1;
      const { standing } = JSON.parse(data ?? '{}') as Partial<JobData>;
      if (isRemoved && standing) await line.took(shardOf(id), 0, standing.bytes);
      return isRemoved;
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

    async counts() {
      const total = { waiting: 0, active: 0, completed: 0, failed: 0 };
      for (const queue of board) {
        const counts = await queue.getJobCounts('prioritized', ...countNames);
        for (const name of countNames) total[name] += counts[name] ?? 0;
        total.waiting += counts['prioritized'] ?? 0;
      }
      return total;
    },

    async takeFrom(shard, worker) {
      const queue = queueOf(shard);
      const held = await heldJobs(redis, queue, worker);
      const moves = held.map((job) => takeBack(queue, job));
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
