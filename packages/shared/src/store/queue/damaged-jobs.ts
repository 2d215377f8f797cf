import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { isDamage } from '../redis-failure.ts';
import { bullKey } from './bullmq-layout.ts';

export type DamagedJobsOptions = {
  redis: Redis;
  keys: Keyspace;
  shard: number;
  queue: Pick<MinimalQueue, 'toKey'>;
  onError(error: unknown): void;
};

/**
 * Jobs whose key is no hash in Redis. A script that handles several jobs at once, as
 * BullMQ's stalled check does, fails for all of them at such a job.
 */
export type DamagedJobs = {
  /**
   * Does the work. If it fails because of a damaged job, this removes and reports that job once, and returns
   * `undefined`: the caller may try again. Every other error is thrown unchanged.
   */
  guard<T>(work: () => Promise<T>): Promise<{ value: T } | undefined>;
  /** Reports an error, unless damaged jobs caused it: it removes those. Never rejects. */
  note(error: unknown): Promise<void>;
  /** Removes this job if it is damaged. Returns whether it was. */
  remove(id: string): Promise<boolean>;
};

const script = loadScript(new URL('lua/remove-damaged.lua', import.meta.url));

export function createDamagedJobs(options: DamagedJobsOptions): DamagedJobs {
  const { redis, keys, shard, queue, onError } = options;
  const { toKey } = queue;

  async function sweep(...ids: string[]): Promise<boolean> {
    const touched = [
      ...[bullKey.active, bullKey.wait, bullKey.stalled, bullKey.prioritized].map(toKey),
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
