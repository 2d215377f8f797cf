import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { AffectedJob, Fate } from '../../domain/poison.ts';
import type { JobData } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import { loadScript, runScript } from '../script.ts';
import type { HeldJob } from './held-jobs.ts';
import { bandWidth, bandStart, ttlMs } from './fair-queue.ts';
import { bullJob, bullKey } from './bullmq-layout.ts';

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = {
  deadWorkerJobs: load('dead-worker-jobs'),
  requeueBehind: load('requeue-behind'),
  clearSuspect: load('clear-suspect'),
};

/**
 * The name that replaces the model's in a job that may have killed a worker: a worker that runs a suspect
 * skips other suspects in the same way as it skips models.
 */
export const suspectName = '(suspect)';

/**
 * Gives a suspect the name of its model back once a part of its answer was delivered. No effect without the
 * job's lock.
 */
export async function clearSuspect(
  redis: Redis,
  { toKey }: Pick<MinimalQueue, 'toKey'>,
  { id, token }: HeldJob,
  model: string,
): Promise<void> {
  await runScript(
    redis,
    scripts.clearSuspect,
    [toKey(id), `${toKey(id)}${bullKey.lock}`],
    [token, model],
  );
}

/** Milliseconds for which a worker's death without a known cause counts. */
const deathCountsMs = 60_000;

export type AffectedJobs = {
  jobs: readonly (HeldJob & AffectedJob)[];
  /** Other workers that died in the last minute without a known cause. */
  unexplained: number;
};

/** The fate of a job that waits again as a suspect. */
export type SuspectFate = Exclude<Fate, 'go_on' | 'poisoned'>;

/** The jobs that dead workers of one shard hold. */
export type DeadWorkersJobs = {
  /** The jobs of a dead worker. `silentMs`: milliseconds since its last sign of life. */
  find(worker: string, silentMs: number): Promise<AffectedJobs>;
  /** Moves a job behind all that wait in its class. `lost`: another process moved it first. */
  requeueBehind(job: HeldJob, fate: SuspectFate): Promise<'back' | 'lost' | 'ended'>;
  /** Records a death that none of the worker's jobs explains. */
  noteUnexplained(worker: string): Promise<void>;
};

export function createDeadWorkersJobs(
  redis: Redis,
  keys: Keyspace,
  shard: number,
  { toKey }: Pick<MinimalQueue, 'toKey'>,
): DeadWorkersJobs {
  const deaths = keys.deaths(shard);
  const { request, log } = keys.prefixes(shard);

  return {
    async find(worker, silentMs) {
      const args = [toKey(''), worker, Math.round(silentMs), request, log, deathCountsMs];
      const reply = await runScript(
        redis,
        scripts.deadWorkerJobs,
        [toKey(bullKey.active), deaths],
        args,
      );
      const [unexplained, ...rest] = reply as [number, ...unknown[]];
      const jobs: (HeldJob & AffectedJob)[] = [];
      for (let at = 0; at + 6 < rest.length; at += 7) {
        const [id, token, served, begun, shown, suspected, blamed] = rest.slice(at, at + 7);
        jobs.push({
          id: String(id),
          token: String(token),
          servedMs: served === '' ? undefined : Number(served),
          hasBegun: Number(begun) === 1,
          hasShown: Number(shown) === 1,
          suspected: Number(suspected),
          blamed: Number(blamed),
        });
      }
      return { jobs, unexplained };
    },

    async requeueBehind({ id, token }, fate) {
      const [name, data] = await redis.hmget(toKey(id), bullJob.name, bullJob.data);
      const { standing, deadlineAt = '' } = JSON.parse(data ?? '{}') as Partial<JobData>;
      const priority = standing?.priority ?? 'normal';
      const touched = [
        toKey(id),
        `${toKey(id)}${bullKey.lock}`,
        ...[bullKey.active, bullKey.stalled, bullKey.prioritized].map(toKey),
        keys.queueCounts(shard),
        keys.finishes(shard, priority),
        keys.request(id),
        keys.deadlines(shard),
      ];
      const band = [bandStart(priority), bandWidth, ttlMs];
      const newName = fate === 'suspected' ? (name ?? '') : suspectName;
      const field = fate === 'blamed' ? records.request.blamed : records.request.suspected;
      const args = [id, token, ...band, newName, field, deadlineAt];
      return (await runScript(redis, scripts.requeueBehind, touched, args)) as 'back';
    },

    async noteUnexplained(worker) {
      const [seconds, micros] = await redis.time();
      const now = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
      await redis.multi().zadd(deaths, now, worker).pexpire(deaths, deathCountsMs).exec();
    },
  };
}
