import { Job } from 'bullmq';
import type { MinimalQueue } from 'bullmq';
import type { Redis } from 'ioredis';
import { priorities } from '../../domain/request.ts';
import type { JobData } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { pastBytes, pastPacks, sealOutcome } from '../stream-log/seal-reply.ts';
import type { SealReply } from '../stream-log/seal-reply.ts';
import { suspectName } from './dead-workers-jobs.ts';
import type { TakenJob } from './taken-job.ts';
import { bandWidth, firstBand, frontScore, maxScanned, shareEvery, ttlMs } from './fair-queue.ts';
import { bullKey } from './bullmq-layout.ts';

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
  /** Unique to this call: the lock tokens of its jobs begin with it. */
  token: string;
  jobs: number;
  /** Workers that share the waiting jobs. */
  workers: number;
  /** Jobs of this call that are not counted, to compensate for counted ones that went back. */
  uncounted: number;
  skipped: ReadonlySet<string>;
};

export type TakeResult = {
  jobs: TakenJob[];
  /** More jobs wait. */
  left: boolean;
  /** Ids of jobs whose key is no hash: they are active, and belong to no worker. */
  damaged: string[];
  /** Jobs whose data is no JSON: they are active, and cannot run. */
  unreadable: UnreadableJob[];
  /** Why some jobs could not be counted. */
  countError?: string;
};

export type UnreadableJob = { job: Omit<TakenJob, 'data'>; error: Error };

const script = loadScript(new URL('lua/take.lua', import.meta.url));

/** Bytes of bodies and pasts after which one call takes no more jobs: Redis serves no other client meanwhile. */
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
 * Takes jobs with one command, and seals the log of each. Undefined, without a change, if only BullMQ's own script can
 * take jobs.
 */
export function createTake({ redis, keys, shard, queue, name, lockMs, lifetimeMs }: TakeOptions) {
  const { toKey } = queue;
  const lists = [bullKey.wait, bullKey.prioritized, bullKey.active, bullKey.delayed].map(toKey);
  const others = [bullKey.meta, bullKey.marker, bullKey.events, bullKey.priorityCounter].map(toKey);
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
      // One by one: all jobs are active, and an error for one must not strand the others.
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

/** Undefined if the reply cannot be read: the run then seals the log itself, and reports the error. */
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
