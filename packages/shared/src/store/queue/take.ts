import { Job } from 'bullmq';
import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import { priorities } from '../../domain/request.ts';
import type { JobData } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../stream-log/redis-scripts.ts';
import { pastBytes, pastPacks, sealOutcome } from '../stream-log/seal-reply.ts';
import type { SealReply } from '../stream-log/seal-reply.ts';
import { suspectName } from './dead-workers-jobs.ts';
import type { TakenJob } from './taken-job.ts';
import { bandWidth, firstBand, frontScore, maxScanned, shareEvery, ttlMs } from './fair-queue.ts';

export type TakeOptions = {
  redis: Redis;
  keys: Keyspace;
  shard: number;
  queue: Pick<MinimalQueue, 'toKey'>;
  /** The worker's id. */
  name: string;
  lockMs: number;
  /** How long an unfinished request is kept. */
  lifetimeMs: number;
};

export type TakeRequest = {
  /** Names the jobs of this call: no other call has it. */
  token: string;
  jobs: number;
  /** Workers that share what waits. */
  workers: number;
  /** So many of the jobs are not counted, in place of some that were and went back. */
  uncounted: number;
  skipped: ReadonlySet<string>;
};

export type TakeResult = {
  jobs: TakenJob[];
  /** More of them wait. */
  left: boolean;
  /** Jobs whose hash is something else: they are active, and nobody's. */
  damaged: string[];
  /** Jobs whose data nobody can read: they are active, and no run can have them. */
  unreadable: UnreadableJob[];
  /** Why some of them could not be counted. */
  countError?: string;
};

export type UnreadableJob = { job: Omit<TakenJob, 'data'>; error: Error };

const script = loadScript(new URL('lua/take.lua', import.meta.url));

/** Bytes of bodies and of what was shown before, after which one call takes no more: Redis does nothing else meanwhile. */
const maxTextBytes = 256 * 1024;

type RawJob =
  | [id: string]
  | [
      id: string,
      activations: number,
      name: string,
      data: string,
      opts: string,
      failure: string | null,
      sealed: SealReply | null,
    ];
type Reply = ['bullmq'] | ['taken', left: 0 | 1, countError: string, ...jobs: RawJob[]];

/**
 * Takes jobs with one command, each with its request's log sealed; undefined, with nothing changed, where only
 * BullMQ's own script will do.
 */
export function createTake({ redis, keys, shard, queue, name, lockMs, lifetimeMs }: TakeOptions) {
  const { toKey } = queue;
  const lists = ['wait', 'prioritized', 'active', 'delayed'].map(toKey);
  const others = ['meta', 'marker', 'events', 'pc'].map(toKey);
  const touched = [...lists, ...others, keys.queueCounts(shard)];
  const { request, log, body } = keys.prefixes(shard);
  const prefixes = [toKey(''), request, log, body];
  const ordering = [
    shareEvery,
    frontScore,
    firstBand,
    bandWidth,
    priorities.length,
    maxScanned,
    ttlMs,
  ];
  const always = [suspectName, ...ordering, lifetimeMs, pastPacks, pastBytes];
  const worker = [name, JSON.stringify(name)];

  return async ({
    token,
    jobs,
    workers,
    uncounted,
    skipped,
  }: TakeRequest): Promise<TakeResult | undefined> => {
    const at = Date.now();
    const now = [at, token, lockMs, jobs, maxTextBytes, workers, uncounted];
    const args = [...prefixes, ...worker, ...now, ...always, ...skipped];
    const reply = (await runScript(redis, script, touched, args)) as Reply;
    if (reply[0] === 'bullmq') return undefined;
    const [, left, countError, ...raws] = reply;
    const take: TakeResult = { jobs: [], left: left === 1, damaged: [], unreadable: [] };
    if (countError !== '') take.countError = countError;
    for (const [i, raw] of raws.entries()) {
      if (raw.length === 1) {
        take.damaged.push(raw[0]);
        continue;
      }
      const job = takenJob(raw, { token: `${token}:${i + 1}`, worker: name, at });
      // Each by itself: all of them are active, and an error for one must not strand the others.
      try {
        take.jobs.push({ ...job, data: JSON.parse(raw[3]) as JobData });
      } catch (cause) {
        const error = new Error(`the data of the job ${job.id} cannot be read: it fails`, {
          cause,
        });
        take.unreadable.push({ job, error });
      }
    }
    return take;
  };
}

type Owner = { token: string; worker: string; at: number };

function takenJob(
  [id, number, name, , opts, failure, sealed]: Exclude<RawJob, [string]>,
  owner: Owner,
): UnreadableJob['job'] {
  return {
    id,
    name,
    number,
    token: owner.token,
    options: () => Job.optsFromJSON(opts),
    deferredFailure: failure ?? undefined,
    sealed: sealed ? sealOf(sealed, number, owner) : undefined,
  };
}

/** Undefined where it cannot be read: the run seals the log itself then, and finds out what is wrong with it. */
function sealOf(
  reply: SealReply,
  activation: number,
  { token: nonce, worker, at }: Owner,
): TakenJob['sealed'] {
  try {
    return { claim: { activation, nonce, worker }, outcome: sealOutcome(reply), at };
  } catch {
    return undefined;
  }
}
