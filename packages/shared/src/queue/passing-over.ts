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
  /** Sees to it that the next job is none of these models; false when there is no such job. */
  pick(avoided: ReadonlySet<string>): Promise<boolean>;
  /** Puts a job back where it stood, in one step; false when it is not the token's any more. */
  putBack(job: Job<JobData>, token: string): Promise<boolean>;
};

export function createPassingOver(
  redis: Redis,
  keys: Keyspace,
  shard: number,
  queue: MinimalQueue,
): PassingOver {
  const { toKey } = queue;
  return {
    async pick(avoided) {
      const touched = [toKey('prioritized'), toKey('wait'), keys.queueCounts(shard)];
      const args = [front, firstBand, bandWidth, lookedAt, toKey(''), ttlMs, ...avoided];
      return (await runScript(redis, scripts.pick, touched, args)) === 1;
    },

    async putBack({ id = '', data }, token) {
      const { priority = 'normal', bytes = 0 } = data.standing ?? {};
      const touched = [
        toKey(id),
        `${toKey(id)}:lock`,
        ...['active', 'stalled', 'prioritized'].map(toKey),
        keys.queueCounts(shard),
        keys.finishes(shard, priority),
      ];
      const args = [id, token, startOf(priority), bandWidth, bytes, ttlMs];
      return (await runScript(redis, scripts.putBack, touched, args)) === 1;
    },
  };
}
