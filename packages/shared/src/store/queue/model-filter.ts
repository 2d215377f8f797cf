import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { suspectName } from './dead-workers-jobs.ts';
import type { TakenJob } from './taken-job.ts';
import { bandWidth, firstBand, frontScore, maxScanned, bandStart, ttlMs } from './fair-queue.ts';
import { bullKey } from './bullmq-layout.ts';

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { pick: load('pick'), putBack: load('put-back') };

type Picked = [found: 'take' | 'nothing new' | 'all' | 'more', last?: number, rank?: number];

/** `lost`: the token no longer holds the job. `ended`: its request has ended, and the caller completes the job. */
export type PutBackOutcome = 'back' | 'lost' | 'ended';

/** Chooses one shard's jobs for a worker that skips some models. */
export type ModelFilter = {
  /**
   * Moves the first job of another model to the front; false if there is none, or none was found so far. Pass the
   * same set as the same object when you ask again.
   */
  pick(skipped: ReadonlySet<string>): Promise<boolean>;
  /** Puts a job back at its position, in one step. */
  putBack(job: Pick<TakenJob, 'id' | 'name' | 'data' | 'token'>): Promise<PutBackOutcome>;
};

/** Milliseconds after which a full scan starts again: jobs that moved meanwhile may have been missed. */
const fullScanMs = 5000;

/** Milliseconds after which a scan that finds jobs far behind begins at the head again. */
const scanRestartMs = 1000;

export function createModelFilter(
  redis: Redis,
  keys: Keyspace,
  shard: number,
  queue: MinimalQueue,
): ModelFilter {
  const { toKey } = queue;
  /** When the last full scan found none, and the number of the newest job at that time. */
  let emptyScan = { skipped: new Set() as ReadonlySet<string>, at: 0, placed: -1 };
  /** A scan over several commands: where the next one resumes, and the newest job at its start. */
  let scan = { skipped: emptyScan.skipped, at: 0, rank: 0, placed: -1 };

  return {
    async pick(skipped) {
      const at = performance.now();
      const isRecent = emptyScan.skipped === skipped && at - emptyScan.at < fullScanMs;
      const resumed = scan.skipped === skipped && scan.rank > 0 ? scan : undefined;
      const counts = [keys.queueCounts(shard), keys.skippedModels(shard)];
      const touched = [toKey(bullKey.prioritized), toKey(bullKey.wait), ...counts];
      const ordering = [frontScore, firstBand, bandWidth, maxScanned, toKey(''), ttlMs];
      const memory = [isRecent ? emptyScan.placed : -1, resumed?.rank ?? 0];
      const args = [...ordering, ...memory, suspectName, ...skipped];
      const [found, last = -1, rank = 0] = (await runScript(
        redis,
        scripts.pick,
        touched,
        args,
      )) as Picked;
      if (found === 'nothing new') return false;
      // The scan resumes there only for `scanRestartMs`, because jobs that were added meanwhile may be
      // further in front.
      if (found === 'take') {
        if (at - scan.at > scanRestartMs) scan = { ...scan, rank: 0 };
        return true;
      }
      const { at: since, placed } = resumed ?? { at, placed: last };
      scan = { skipped, at: since, rank: found === 'more' ? rank : 0, placed };
      if (found === 'all') emptyScan = { skipped, at, placed };
      return false;
    },

    async putBack({ id, name, data, token }) {
      const { priority = 'normal', bytes = 0 } = data.standing ?? {};
      const touched = [
        toKey(id),
        `${toKey(id)}${bullKey.lock}`,
        ...[bullKey.active, bullKey.stalled, bullKey.prioritized].map(toKey),
        keys.queueCounts(shard),
        keys.finishes(shard, priority),
        keys.request(id),
      ];
      const args = [id, token, bandStart(priority), bandWidth, bytes, ttlMs, name];
      return (await runScript(redis, scripts.putBack, touched, args)) as PutBackOutcome;
    },
  };
}
