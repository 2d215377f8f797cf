import type { Job, MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { JobData } from '../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../log/redis-scripts.ts';
import { bandWidth, firstBand, front, lookedAt, startOf, ttlMs } from './waiting-line.ts';

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { pick: load('pick'), putBack: load('put-back') };

/** One shard's jobs, for a worker that does not take all of them. */
export type PassingOver = {
  /** Sees to it that the next job is none of these models; false when there is no such job. The same set: the same object. */
  pick(avoided: ReadonlySet<string>): Promise<boolean>;
  /** Puts a job back where it stood, in one step; false when it is not the token's any more. */
  putBack(job: Job<JobData>, token: string): Promise<boolean>;
};

/** Milliseconds after which all are looked at again: one may have come among the first meanwhile. */
const lookAtAllMs = 1000;

export function createPassingOver(
  redis: Redis,
  keys: Keyspace,
  shard: number,
  queue: MinimalQueue,
): PassingOver {
  const { toKey } = queue;
  /** When all were looked at in vain, and the number of the last job that was there. */
  let inVain = { avoided: new Set() as ReadonlySet<string>, at: 0, placed: -1 };

  return {
    async pick(avoided) {
      const at = performance.now();
      const isRecent = inVain.avoided === avoided && at - inVain.at < lookAtAllMs;
      const touched = [toKey('prioritized'), toKey('wait'), keys.queueCounts(shard)];
      const line = [front, firstBand, bandWidth, lookedAt, toKey(''), ttlMs];
      const args = [...line, isRecent ? inVain.placed : -1, ...avoided];
      const placed = (await runScript(redis, scripts.pick, touched, args)) as number;
      if (placed >= 0) inVain = { avoided, at, placed };
      return placed === -1;
    },

    async putBack({ id = '', name, data }, token) {
      const { priority = 'normal', bytes = 0 } = data.standing ?? {};
      const touched = [
        toKey(id),
        `${toKey(id)}:lock`,
        ...['active', 'stalled', 'prioritized'].map(toKey),
        keys.queueCounts(shard),
        keys.finishes(shard, priority),
      ];
      const args = [id, token, startOf(priority), bandWidth, bytes, ttlMs, name];
      return (await runScript(redis, scripts.putBack, touched, args)) === 1;
    },
  };
}
