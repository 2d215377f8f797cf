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
  /** For the commands; each shard gets two connections from it, one of them for its blocking read. */
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** The worker's id: BullMQ writes it into every job that it takes. */
  name: string;
  /** Jobs at once, over all shards, until `setPlaces` says otherwise. */
  concurrency: number;
  /** How long an unfinished request is kept. */
  lifetimeMs: number;
  /** Workers of the fleet, which share the jobs that wait. */
  workers?: () => number;
  onError: (error: Error) => void;
};

/**
 * Jobs of one fetch: well below a millisecond of Redis. Of a model whose target turns out to be at its limit, all of
 * them may be asked in vain before the worker avoids the model; and 16 save only a sixth of Redis' time for each.
 */
const maxPerFetch = 8;

/** Milliseconds on its way after which a job that was sent to us may be another worker's. */
const overdueMs = 500;

/** Of a suspect: what its run calls when it has shown something, and what lets the next suspect come. */
type Admitted = { shown?: Activation['shown']; free?: () => void };

/** What one shard's jobs pass on their way through this worker. */
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
  /** Models that are not to be taken, as told. */
  let skippedModels: ReadonlySet<string> = new Set();
  /** The same, with the name of the suspects while one is here. Another set is another object. */
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
      // Clients learn that it failed; why, only this log says.
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

  /** Undefined when it is not to be run, and has been put where it belongs. */
  async function admit(shard: Shard, job: TakenJob): Promise<Admitted | undefined> {
    const { bull, taken } = shard;
    // BullMQ has it fail: its workers died too often.
    if (job.deferredFailure) {
      await bull.fail(job, new UnrecoverableError(job.deferredFailure));
      return undefined;
    }
    const isFirst = job.number <= 1;
    if (job.uncounted) taken.add(isFirst ? (job.data.standing?.bytes ?? 0) : 0);
    const isSuspect = job.name === suspectName;
    // The fetch was under way when this was decided.
    if (!isSuspect && (stopping || (limit.isExceeded && !isFirst))) {
      await handBack(shard, job);
      return undefined;
    }
    const isLeft = isSuspect ? stopping || isolation.isTaken : isFirst && skipped.has(job.name);
    if (isLeft || limit.isExceeded) {
      await putBack(shard, job);
      return undefined;
    }
    // Before anything is awaited: two of them may have been fetched at once.
    return isSuspect ? isolate(shard, job) : {};
  }

  async function activate(
    { keeper }: Shard,
    job: TakenJob,
    { shown, free }: Admitted,
  ): Promise<ActivationOutcome> {
    const { id, number, data, token, sealed } = job;
    // From here on the run minds it.
    if (data.deadlineAt !== undefined) fairQueue.unwatchDeadlines([id]).catch(note);
    const lock = keeper.keep(id, token);
    held += 1;
    let outcome: ActivationOutcome | undefined;
    try {
      outcome = await handle({ id, number, data, token, sealed, shown, lockLost: lock.lost });
      // Somebody else has it, and Redis would refuse whatever we do to it.
      return lock.lost.aborted ? { kind: 'dropped' } : outcome;
    } finally {
      held -= 1;
      lock.release();
      // A suspect that goes back waits where this worker would find it again at once: suspects are left to
      // others until the time of its isolation is over.
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
      // Else it would wait for its turn as a suspect again, with a reader in mid-answer.
      clearSuspect(redis, bull.worker, { id, token }, data.model).catch(note);
    };
    return { shown, free };
  }

  /** Its deadline is minded again by those who look at the queue. */
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
    // Who slept was woken by its taking, and may want what this worker does not.
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
      // Whatever it was that failed, Redis may have given it jobs before.
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
    // Who passes some models over has to choose.
    free: () => (skipped.size > 0 ? 0 : limit.available),
    onLost: (shard) => shards[shard]?.lostJobs.check(),
    onError: note,
  });
  redis.on('ready', onReady);
  /** Connections lost so far: what was under way then is sent again, and may be done twice. */
  let losses = 0;
  const onClose = () => void (losses += 1);
  redis.on('close', onClose);

  /** Takes no more jobs, and ends with those that it holds; their locks are kept until then. */
  async function stop(): Promise<void> {
    limit.close();
    const withdrawn = offers.close();
    const ends = shards.map(async ({ bull, keeper, lostJobs }, number) => {
      await Promise.all([bull.stop().catch(note), fetchLoops[number]?.stop(), withdrawn]);
      // Behind the last job that was on its way.
      await fetchLoops[number]?.stop();
      keeper.close();
      // Their locks would keep them from everybody else for their whole time.
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
      fetchLoops[shard]?.begin(dispatchedJob(job, name, at));
      // It may have been taken from us before it came, with all that this process had when it stood still.
      if (Date.now() - at > overdueMs) void shards[shard]?.keeper.renew();
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

/** As store/queue/lua/submit.lua has activated it, and sealed its log. Throws where it cannot be read. */
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
