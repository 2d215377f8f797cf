import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../stream-log/redis-scripts.ts';
import { isDamage } from '../redis-failure.ts';

export type DamagedJobsOptions = {
  redis: Redis;
  keys: Keyspace;
  shard: number;
  queue: Pick<MinimalQueue, 'toKey'>;
  onError(error: unknown): void;
};

/**
 * Jobs whose hash is something else in Redis. A script that handles several jobs at once, as
 * BullMQ's stalled check does, fails for all of them at such a one.
 */
export type DamagedJobs = {
  /**
   * Does the work. Where Redis fails it for a damaged job, that one is removed from the queue and told of,
   * once: `undefined`, and the work may be tried again. Every other error is thrown as it comes.
   */
  guard<T>(work: () => Promise<T>): Promise<{ value: T } | undefined>;
  /** Passes an error on, unless damaged jobs were the cause of it: those are removed. Never rejects. */
  note(error: unknown): Promise<void>;
  /** Whether this job was damaged: it is removed then. */
  remove(id: string): Promise<boolean>;
};

const script = loadScript(new URL('lua/remove-damaged.lua', import.meta.url));

export function createDamagedJobs(options: DamagedJobsOptions): DamagedJobs {
  const { redis, keys, shard, queue, onError } = options;
  const { toKey } = queue;

  async function sweep(...ids: string[]): Promise<boolean> {
    const touched = [
      ...['active', 'wait', 'stalled', 'prioritized'].map(toKey),
      keys.deadlines(shard),
    ];
    const removed = (await runScript(redis, script, touched, [toKey(''), ...ids])) as string[];
    for (const id of removed) {
      onError(new Error(`the job ${id} is damaged in Redis, and was removed from the queue`));
    }
    return removed.length > 0;
  }

  const isMended = async (error: unknown): Promise<boolean> => isDamage(error) && (await sweep());

  return {
    async guard(work) {
      try {
        return { value: await work() };
      } catch (error) {
        if (await isMended(error)) return undefined;
        throw error;
      }
    },
    async note(error) {
      try {
        if (!(await isMended(error))) onError(error);
      } catch (other) {
        onError(other);
      }
    },
    remove: (id) => sweep(id),
  };
}
