import { UnrecoverableError } from 'bullmq';
import type { Redis } from 'ioredis';
import { clearSuspect, suspectName } from './dead-workers-jobs.ts';
import type { BullShard } from './bullmq-shard.ts';
import type { ConcurrencyLimit } from './concurrency.ts';
import type { FairQueue } from './fair-queue.ts';
import type { Isolation } from './isolation.ts';
import type { LockKeeper } from './lock-keeper.ts';
import type { Activation, ActivationHandler, ActivationOutcome } from './port.ts';
import type { TakenCounter } from './taken-counter.ts';
import { runError } from './run-error.ts';
import type { TakenJob } from './taken-job.ts';

/** The parts of one shard that a job needs from its fetch to its end. */
export type JobShard = {
  bull: BullShard;
  keeper: LockKeeper;
  taken: TakenCounter;
};

export type JobRunnerOptions = {
  redis: Redis;
  fairQueue: Pick<FairQueue, 'watchDeadline' | 'unwatchDeadlines'>;
  limit: Pick<ConcurrencyLimit, 'isExceeded'>;
  isolation: Pick<Isolation, 'isTaken' | 'take'>;
  handle: ActivationHandler;
  isStopping(): boolean;
  /** Models to skip, and the suspects' name while a suspect runs here. */
  skipped(): ReadonlySet<string>;
  /** A suspect begins: from now on this worker skips the others. */
  onIsolated(): void;
  onError(error: unknown): void;
};

/** Runs the jobs that this worker took, each from its fetch to its end in the queue. */
export type JobRunner = {
  /** Jobs whose activation is under way. */
  readonly held: number;
  run(shard: JobShard, job: TakenJob): Promise<void>;
};

/** For a suspect: `shown` for its run to call after the first delivery, and `free` to admit the next suspect. */
type Admitted = { shown?: Activation['shown']; free?: () => void };

/** What to do with a fetched job. */
export type JobVerdict =
  /** It fails in BullMQ, because it lost its lock too often. */
  | 'fail'
  /** It goes in front of all others, for another worker. */
  | 'hand_back'
  /** It goes back to its position, as if no worker had taken it. */
  | 'put_back'
  | 'run'
  /** It runs as the only suspect of this worker. */
  | 'isolate';

export type WorkerState = {
  isStopping: boolean;
  /** More jobs run than the limit allows: it was lowered while the fetch was under way. */
  isExceeded: boolean;
  /** A suspect runs here. */
  hasSuspect: boolean;
  skipped: ReadonlySet<string>;
};

/** Decides what to do with a job; the worker may have stopped, or changed its limit, during the fetch. */
export function judgeJob(
  { name, number, deferredFailure }: Pick<TakenJob, 'name' | 'number' | 'deferredFailure'>,
  { isStopping, isExceeded, hasSuspect, skipped }: WorkerState,
): JobVerdict {
  if (deferredFailure) return 'fail';
  if (name === suspectName) return isStopping || hasSuspect || isExceeded ? 'put_back' : 'isolate';
  const isFirst = number <= 1;
  if (isStopping || (isExceeded && !isFirst)) return 'hand_back';
  return isExceeded || (isFirst && skipped.has(name)) ? 'put_back' : 'run';
}

export function createJobRunner(options: JobRunnerOptions): JobRunner {
  const { redis, fairQueue, limit, isolation, handle, onError } = options;
  let held = 0;

  async function run(shard: JobShard, job: TakenJob): Promise<void> {
    const { bull, taken } = shard;
    if (job.uncounted && !job.deferredFailure) {
      taken.add(job.number <= 1 ? (job.data.standing?.bytes ?? 0) : 0);
    }
    const verdict = judgeJob(job, {
      isStopping: options.isStopping(),
      isExceeded: limit.isExceeded,
      hasSuspect: isolation.isTaken,
      skipped: options.skipped(),
    });
    if (verdict === 'fail') {
      return bull.fail(job, new UnrecoverableError(job.deferredFailure ?? ''));
    }
    if (verdict === 'hand_back') return handBack(shard, job);
    if (verdict === 'put_back') return putBack(shard, job);
    // Before the first await: one fetch may have brought two suspects.
    await activate(shard, job, verdict === 'isolate' ? isolate(shard, job) : {});
  }

  async function activate(shard: JobShard, job: TakenJob, admitted: Admitted): Promise<void> {
    const { bull } = shard;
    let outcome: ActivationOutcome;
    try {
      outcome = await hold(shard, job, admitted);
    } catch (error) {
      // Clients only see that this server failed; the log has the cause.
      onError(error);
      return bull.fail(job, runError(error));
    }
    if ('jobEnded' in outcome && outcome.jobEnded) return;
    if (outcome.kind === 'completed') await bull.complete(job, outcome.summary);
    if (outcome.kind === 'failed') await bull.fail(job, new UnrecoverableError(outcome.reason));
    if (outcome.kind === 'handed_back') await handBack(shard, job);
    if (outcome.kind === 'not_yet') await putBack(shard, job);
  }

  /** Calls the handler, and keeps the job's lock until it returns. */
  async function hold(
    { keeper }: JobShard,
    job: TakenJob,
    { shown, free }: Admitted,
  ): Promise<ActivationOutcome> {
    const { id, number, data, token, sealed } = job;
    // From now on the run enforces the deadline.
    if (data.deadlineAt !== undefined) fairQueue.unwatchDeadlines([id]).catch(onError);
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
      // This worker would at once fetch the suspect that it put back, so it leaves suspects to others until
      // the isolation is over.
      if (outcome?.kind !== 'not_yet') free?.();
    }
  }

  function isolate({ bull }: JobShard, { id, token, data }: TakenJob): Admitted {
    const free = isolation.take();
    options.onIsolated();
    let hasShown = false;
    const shown = () => {
      if (hasShown) return;
      hasShown = true;
      free();
      // Otherwise a job with a partly delivered answer would wait as a suspect again.
      clearSuspect(redis, bull.worker, { id, token }, data.model).catch(onError);
    };
    return { shown, free };
  }

  /** Lets the ingresses enforce its deadline again. */
  function watchDeadlineAgain({ id, data: { deadlineAt } }: TakenJob): void {
    if (deadlineAt !== undefined) fairQueue.watchDeadline(id, deadlineAt).catch(onError);
  }

  async function handBack({ bull }: JobShard, job: TakenJob): Promise<void> {
    watchDeadlineAgain(job);
    await bull.handBack(job);
  }

  async function putBack({ bull, taken }: JobShard, job: TakenJob): Promise<void> {
    watchDeadlineAgain(job);
    const outcome = await bull.putBack(job);
    if (outcome === 'ended') await bull.complete(job, 'had ended already');
    if (outcome !== 'back') return;
    taken.credit(1);
    // Taking it used up a wake-up; another worker may want a job that this one skips.
    await bull.wake();
  }

  return {
    run,
    get held() {
      return held;
    },
  };
}
