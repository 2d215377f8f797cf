import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../stream-log/redis-scripts.ts';
import { suspectName } from './dead-workers-jobs.ts';
import type { TakenJob } from './taken-job.ts';
import { bandWidth, firstBand, front, lookedAt, startOf, ttlMs } from './fair-queue.ts';

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { pick: load('pick'), putBack: load('put-back') };

type Picked = [found: 'take' | 'nothing new' | 'all' | 'more', last?: number, rank?: number];

/** `lost`: it is not the token's any more. `ended`: its request is, and it is to be completed. */
export type PutBack = 'back' | 'lost' | 'ended';

/** One shard's jobs, for a worker that does not take all of them. */
export type PassingOver = {
  /**
   * Sees to it that the next job is none of these models; false when there is none, or none was found so far.
   * Who asks again has the same set in the same object.
   */
  pick(avoided: ReadonlySet<string>): Promise<boolean>;
  /** Puts a job back where it stood, in one step. */
  putBack(job: Pick<TakenJob, 'id' | 'name' | 'data' | 'token'>): Promise<PutBack>;
};

/** Milliseconds after which all are looked at again, for what the line's moving may have hidden. */
const lookAtAllMs = 5000;

/** Milliseconds after which a look that finds jobs far behind begins in front again. */
const lookFarMs = 1000;

export function createPassingOver(
  redis: Redis,
  keys: Keyspace,
  shard: number,
  queue: MinimalQueue,
): PassingOver {
  const { toKey } = queue;
  /** When all were looked at in vain, and the number of the last job that was there. */
  let inVain = { avoided: new Set() as ReadonlySet<string>, at: 0, placed: -1 };
  /** Looks at more than one command may: where the next one goes on, and what was there at the first one. */
  let pass = { avoided: inVain.avoided, at: 0, rank: 0, placed: -1 };

  return {
    async pick(avoided) {
      const at = performance.now();
      const isRecent = inVain.avoided === avoided && at - inVain.at < lookAtAllMs;
      const begun = pass.avoided === avoided && pass.rank > 0 ? pass : undefined;
      const counts = [keys.queueCounts(shard), keys.avoided(shard)];
      const touched = [toKey('prioritized'), toKey('wait'), ...counts];
      const line = [front, firstBand, bandWidth, lookedAt, toKey(''), ttlMs];
      const memory = [isRecent ? inVain.placed : -1, begun?.rank ?? 0];
      const args = [...line, ...memory, suspectName, ...avoided];
      const [found, last = -1, rank = 0] = (await runScript(
        redis,
        scripts.pick,
        touched,
        args,
      )) as Picked;
      if (found === 'nothing new') return false;
      // It goes on where it is, and for a while only: who came meanwhile may stand before them.
      if (found === 'take') {
        if (at - pass.at > lookFarMs) pass = { ...pass, rank: 0 };
        return true;
      }
      const { at: since, placed } = begun ?? { at, placed: last };
      pass = { avoided, at: since, rank: found === 'more' ? rank : 0, placed };
      if (found === 'all') inVain = { avoided, at, placed };
      return false;
    },

    async putBack({ id, name, data, token }) {
      const { priority = 'normal', bytes = 0 } = data.standing ?? {};
      const touched = [
        toKey(id),
        `${toKey(id)}:lock`,
        ...['active', 'stalled', 'prioritized'].map(toKey),
        keys.queueCounts(shard),
        keys.finishes(shard, priority),
        keys.request(id),
      ];
      const args = [id, token, startOf(priority), bandWidth, bytes, ttlMs, name];
      return (await runScript(redis, scripts.putBack, touched, args)) as PutBack;
    },
  };
}
