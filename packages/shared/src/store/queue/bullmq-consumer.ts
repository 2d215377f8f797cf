import { randomUUID } from 'node:crypto';
import { Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { DispatchedJob } from '../../domain/dispatch.ts';
import type { JobData } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { suspectName } from './dead-workers-jobs.ts';
import { lockMs, openShard } from './bullmq-shard.ts';
import type { Fetched } from './bullmq-shard.ts';
import { startFetchLoop } from './fetch-loop.ts';
import type { FetchLoop } from './fetch-loop.ts';
import { heldJobs, requeueInFront } from './held-jobs.ts';
import { createIsolation } from './isolation.ts';
import { createLockKeeper } from './lock-keeper.ts';
import { createOffers } from './offers.ts';
import { createConcurrencyLimit } from './concurrency.ts';
import { createJobRunner } from './job-runner.ts';
import type { JobShard } from './job-runner.ts';
import type { ActivationHandler, JobConsumer } from './port.ts';
import { createLostJobs } from './lost-jobs.ts';
import type { LostJobs } from './lost-jobs.ts';
import type { TakenJob } from './taken-job.ts';
import { createTakenCounter } from './taken-counter.ts';
import { createFairQueue } from './fair-queue.ts';

export type BullConsumerOptions = {
  /** For commands; each shard opens two connections like it, one of them for its blocking read. */
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  /** Concurrent jobs over all shards, until `setConcurrency` changes it. */
  concurrency: number;
  /** How long an unfinished request is kept. */
  lifetimeMs: number;
  /** Workers of the fleet, which share the jobs that wait. */
  workers?: () => number;
  onError: (error: Error) => void;
};

/**
 * Jobs of one fetch: well below a millisecond of Redis. If they are all for a model whose target is at its
 * limit, each costs a useless attempt before the worker skips the model; and 16 would save only a sixth of
 * Redis' time.
 */
const maxPerFetch = 8;

/** Milliseconds in flight after which a job that was sent to this worker may belong to another one. */
const overdueMs = 500;

/** The parts of this worker that handle one shard's jobs. */
type Shard = JobShard & { lostJobs: LostJobs };

/** Takes jobs from every shard and gives each activation to the handler. */
export function startBullConsumer(
  options: BullConsumerOptions,
  handle: ActivationHandler,
): JobConsumer {
  const { redis, keys, shards: count, name, concurrency, lifetimeMs, onError } = options;
  const { workers = () => 1 } = options;
  const fairQueue = createFairQueue({ redis, keys });
  const note = (error: unknown) => onError(asError(error));
  const limit = createConcurrencyLimit(concurrency, count);
  /** Models to skip, as `skip` was last called. */
  let skippedModels: ReadonlySet<string> = new Set();
  /** The same models, and the suspects' name while a suspect runs here. A changed set is a new object. */
  let skipped = skippedModels;
  let stopping: Promise<void> | undefined;

  const isolation = createIsolation({ onFree: applyFilter });
  function applyFilter(): void {
    skipped = isolation.isTaken ? new Set([...skippedModels, suspectName]) : skippedModels;
    fetchAllNow();
    offers.changed();
  }

  const runner = createJobRunner({
    redis,
    fairQueue,
    limit,
    isolation,
    handle,
    isStopping: () => stopping !== undefined,
    skipped: () => skipped,
    onIsolated: applyFilter,
    onError: note,
  });

  function createShard(number: number): Shard {
    const bull = openShard({ redis, keys, shard: number, name, lifetimeMs, onError: note });
    const { worker } = bull;
    const keeper = createLockKeeper({
      extend: (ids, tokens) => worker.extendJobLocks(ids, tokens, lockMs),
      everyMs: lockMs / 4,
      onError,
    });
    const count = (...what: [jobs: number, bytes: number]) =>
      fairQueue.onTaken(number, ...what, skipped);
    const lostJobs = createLostJobs({
      held: () => heldJobs(redis, worker, name),
      isKept: keeper.has,
      putBack: (job) => requeueInFront(redis, worker, [job]),
      onError: note,
    });
    return { bull, keeper, taken: createTakenCounter({ count, onError: note }), lostJobs };
  }

  async function fetch({ bull, taken, lostJobs }: Shard, jobs: number): Promise<Fetched> {
    const token = randomUUID();
    const lossesBefore = losses;
    const uncounted = taken.useCredit(jobs);
    let fetched: Fetched | undefined;
    try {
      fetched = await bull.fetch({ token, jobs, workers: workers(), uncounted, skipped });
      return fetched;
    } finally {
      const came = fetched?.jobs ?? [];
      const counted = came.filter((job) => !job.uncounted && job.deferredFailure === undefined);
      taken.credit(Math.max(0, uncounted - counted.length));
      // Redis may have given this worker jobs before the call failed.
      const mayHaveMore = fetched === undefined || losses !== lossesBefore;
      if (mayHaveMore) lostJobs.reclaim(token, new Set(came.map(({ id }) => id)));
    }
  }

  function startLoop(shard: Shard): FetchLoop<TakenJob> {
    const { bull } = shard;
    const isSkipping = () => skipped.size > 0;
    return startFetchLoop<TakenJob>({
      limit,
      maxPerFetch,
      fetch: (most) => fetch(shard, most),
      run: (job) => runner.run(shard, job).finally(() => offers.changed()),
      sleep: () => bull.sleep(() => limit.hasFree && !stopping, isSkipping),
      onError: note,
    });
  }

  const shards = Array.from({ length: count }, (_, number) => createShard(number));
  const fetchLoops = shards.map(startLoop);
  const fetchAllNow = () => {
    for (const loop of fetchLoops) loop.fetchNow();
  };
  const onReady = () => {
    for (const { lostJobs } of shards) lostJobs.check();
  };
  const offers = createOffers({
    redis,
    keys,
    shards: count,
    name,
    // A worker that skips models has to choose its jobs.
    free: () => (skipped.size > 0 ? 0 : limit.available),
    load: () => runner.held,
    onLost: (shard) => shards[shard]?.lostJobs.check(),
    onError: note,
  });
  redis.on('ready', onReady);
  /** Connections lost so far: ioredis sends commands that were under way again, so Redis may carry them out twice. */
  let losses = 0;
  const onClose = () => void (losses += 1);
  redis.on('close', onClose);

  /** Takes no more jobs, and ends when those that it holds have ended; it keeps their locks until then. */
  async function stop(): Promise<void> {
    limit.close();
    const withdrawn = offers.close();
    const ends = shards.map(async ({ bull, keeper, lostJobs }, number) => {
      await Promise.all([bull.stop().catch(note), fetchLoops[number]?.stop(), withdrawn]);
      // Again, for jobs that were in flight until now.
      await fetchLoops[number]?.stop();
      keeper.close();
      // Until their locks run out, no other worker would get them.
      await lostJobs.close();
      await bull.close();
    });
    await Promise.all(ends);
    isolation.close();
    redis.off('ready', onReady);
    redis.off('close', onClose);
  }

  const close = () => {
    stopping ??= stop();
    return stopping;
  };

  return {
    receive(shard, job) {
      const at = offers.received(shard, job);
      let taken: TakenJob;
      try {
        taken = dispatchedJob(job, name, at);
      } catch (error) {
        // It goes back to the queue; the fetch that takes it fails it.
        shards[shard]?.lostJobs.check();
        note(error);
        return;
      }
      fetchLoops[shard]?.begin(taken);
      // The job may have been taken from this worker before it arrived, together with all others, if the
      // process was blocked. The check runs in the next turn, because this job's lock is kept only from the
      // end of this turn on.
      if (Date.now() - at > overdueMs) setImmediate(() => void shards[shard]?.keeper.renew());
    },
    onBeat: offers.onBeat,
    onGap() {
      offers.onGap();
      for (const { lostJobs } of shards) lostJobs.check();
    },
    get held() {
      return runner.held;
    },
    setConcurrency(wanted) {
      if (stopping) return;
      limit.set(wanted);
      offers.refresh();
    },
    skip(models) {
      skippedModels = new Set(models);
      applyFilter();
    },
    checkLocks() {
      for (const { keeper } of shards) void keeper.renew();
    },
    async pausedShards() {
      const paused = await Promise.all(shards.map(({ bull }) => bull.isPaused()));
      return paused.flatMap((isPaused, shard) => (isPaused ? [shard] : []));
    },
    fetchBurst: (shard, jobs) => fetchLoops[shard]?.fetchBurst(jobs),
    async stop() {
      close().catch(onError);
    },
    close,
  };
}

/** The job as lua/submit.lua activated it and sealed its log. Throws if its data is no JSON. */
function dispatchedJob(
  { id, token, data: dataText, opts, body }: DispatchedJob,
  worker: string,
  at: number,
): TakenJob {
  const data = JSON.parse(dataText) as JobData;
  return {
    id,
    name: data.model,
    data,
    number: 1,
    token,
    options: () => Job.optsFromJSON(opts),
    sealed: {
      claim: { activation: 1, nonce: token, worker },
      outcome: {
        kind: 'sealed',
        run: 1,
        last: { run: 0, seq: 0 },
        entries: 1,
        body,
        past: { entries: [], through: { run: 0, seq: 0 } },
      },
      at,
    },
  };
}

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error));
