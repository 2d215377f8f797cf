import { randomUUID } from 'node:crypto';
import { Job, UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import type { DispatchedJob } from '../../domain/dispatch.ts';
import type { JobData } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { clearSuspect, suspectName } from './dead-workers-jobs.ts';
import { lockMs, openShard } from './bullmq-shard.ts';
import type { BullShard, Fetched } from './bullmq-shard.ts';
import { startFetchLoop } from './fetch-loop.ts';
import type { FetchLoop } from './fetch-loop.ts';
import { heldJobs, requeueInFront } from './held-jobs.ts';
import { createIsolation } from './isolation.ts';
import { createLockKeeper } from './lock-keeper.ts';
import type { LockKeeper } from './lock-keeper.ts';
import { createOffers } from './offers.ts';
import { createConcurrencyLimit } from './concurrency.ts';
import type { Activation, ActivationHandler, ActivationOutcome, JobConsumer } from './port.ts';
import { createLostJobs } from './lost-jobs.ts';
import type { LostJobs } from './lost-jobs.ts';
import type { TakenJob } from './taken-job.ts';
import { createTakenCounter } from './taken-counter.ts';
import type { TakenCounter } from './taken-counter.ts';
import { createFairQueue } from './fair-queue.ts';

export type BullConsumerOptions = {
  /** For commands; each shard opens two connections like it, one of them for its blocking read. */
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  /** Jobs at once, over all shards, until `setConcurrency` says otherwise. */
  concurrency: number;
  /** How long an unfinished request is kept. */
  lifetimeMs: number;
  /** Workers of the fleet, which share the jobs that wait. */
  workers?: () => number;
  onError: (error: Error) => void;
};

/**
 * Jobs of one fetch: well below a millisecond of Redis. If they are all of a model whose target is at its limit, the
 * worker calls the target for each in vain before it skips the model; and 16 would save only a sixth of Redis' time.
 */
const maxPerFetch = 8;

/** Milliseconds in flight after which a job that was sent to this worker may belong to another one. */
const overdueMs = 500;

/** For a suspect: what its run calls when it has shown something, and what admits the next suspect. */
type Admitted = { shown?: Activation['shown']; free?: () => void };

/** The parts of this worker that handle one shard's jobs. */
type Shard = {
  bull: BullShard;
  keeper: LockKeeper;
  taken: TakenCounter;
  lostJobs: LostJobs;
};

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
  let held = 0;
  let stopping: Promise<void> | undefined;

  const isolation = createIsolation({ onFree: applyFilter });
  function applyFilter(): void {
    skipped = isolation.isTaken ? new Set([...skippedModels, suspectName]) : skippedModels;
    fetchAllNow();
    offers.changed();
  }

  /** A job from its fetch to its end in the queue. */
  async function run(shard: Shard, job: TakenJob): Promise<void> {
    const { bull } = shard;
    const admitted = await admit(shard, job);
    if (!admitted) return;
    let outcome: ActivationOutcome;
    try {
      outcome = await activate(shard, job, admitted);
    } catch (error) {
      // Clients learn only that the job failed; this log says why.
      note(error);
      await bull.fail(job, asError(error));
      return;
    }
    if ('jobEnded' in outcome && outcome.jobEnded) return;
    if (outcome.kind === 'completed') await bull.complete(job, outcome.summary);
    if (outcome.kind === 'failed') await bull.fail(job, new UnrecoverableError(outcome.reason));
    if (outcome.kind === 'handed_back') await handBack(shard, job);
    if (outcome.kind === 'not_yet') await putBack(shard, job);
  }

  /** Undefined if the job must not run here; this function has put it back or ended it then. */
  async function admit(shard: Shard, job: TakenJob): Promise<Admitted | undefined> {
    const { bull, taken } = shard;
    // BullMQ makes it fail: it lost its lock too often.
    if (job.deferredFailure) {
      await bull.fail(job, new UnrecoverableError(job.deferredFailure));
      return undefined;
    }
    const isFirst = job.number <= 1;
    if (job.uncounted) taken.add(isFirst ? (job.data.standing?.bytes ?? 0) : 0);
    const isSuspect = job.name === suspectName;
    // The worker stopped, or reached its limit, while the fetch was under way.
    if (!isSuspect && (stopping || (limit.isExceeded && !isFirst))) {
      await handBack(shard, job);
      return undefined;
    }
    const isLeft = isSuspect ? stopping || isolation.isTaken : isFirst && skipped.has(job.name);
    if (isLeft || limit.isExceeded) {
      await putBack(shard, job);
      return undefined;
    }
    // Before the first await: one fetch may have brought two suspects.
    return isSuspect ? isolate(shard, job) : {};
  }

  async function activate(
    { keeper }: Shard,
    job: TakenJob,
    { shown, free }: Admitted,
  ): Promise<ActivationOutcome> {
    const { id, number, data, token, sealed } = job;
    // From here on the run watches the deadline.
    if (data.deadlineAt !== undefined) fairQueue.unwatchDeadlines([id]).catch(note);
    const lock = keeper.keep(id, token);
    held += 1;
    let outcome: ActivationOutcome | undefined;
    try {
      outcome = await handle({ id, number, data, token, sealed, shown, lockLost: lock.lost });
      // Another worker has it, and Redis would refuse every write of ours.
      return lock.lost.aborted ? { kind: 'dropped' } : outcome;
    } finally {
      held -= 1;
      lock.release();
      // This worker would fetch a suspect that goes back again at once: it leaves suspects to others until the
      // isolation is over.
      if (outcome?.kind !== 'not_yet') free?.();
    }
  }

  function isolate({ bull }: Shard, { id, token, data }: TakenJob): Admitted {
    const free = isolation.take();
    applyFilter();
    let hasShown = false;
    const shown = () => {
      if (hasShown) return;
      hasShown = true;
      free();
      // Otherwise it would wait as a suspect again, with a reader in mid-answer.
      clearSuspect(redis, bull.worker, { id, token }, data.model).catch(note);
    };
    return { shown, free };
  }

  /** The ingresses watch its deadline again. */
  function watchDeadlineAgain({ id, data: { deadlineAt } }: TakenJob): void {
    if (deadlineAt !== undefined) fairQueue.watchDeadline(id, deadlineAt).catch(note);
  }

  async function handBack({ bull }: Shard, job: TakenJob): Promise<void> {
    watchDeadlineAgain(job);
    await bull.handBack(job);
  }

  async function putBack({ bull, taken }: Shard, job: TakenJob): Promise<void> {
    watchDeadlineAgain(job);
    const outcome = await bull.putBack(job);
    if (outcome === 'ended') await bull.complete(job, 'had ended already');
    if (outcome !== 'back') return;
    taken.credit(1);
    // Taking it used up a wake-up: another worker may want what this one skips.
    await bull.wake();
  }

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
      run: (job) => run(shard, job).finally(() => offers.changed()),
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
    load: () => held,
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
        // It goes back to the queue, where the fetch that finds it fails it.
        shards[shard]?.lostJobs.check();
        note(error);
        return;
      }
      fetchLoops[shard]?.begin(taken);
      // It may have been taken from us before it came, with all that this process had when it stood still. In the
      // next turn, because its own lock is kept only from the end of this one on.
      if (Date.now() - at > overdueMs) setImmediate(() => void shards[shard]?.keeper.renew());
    },
    onBeat: offers.onBeat,
    onGap() {
      offers.onGap();
      for (const { lostJobs } of shards) lostJobs.check();
    },
    get held() {
      return held;
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
        past: { texts: [], through: { run: 0, seq: 0 } },
      },
      at,
    },
  };
}

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error));
