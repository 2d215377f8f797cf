import { Job, UnrecoverableError } from 'bullmq';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { judgeDeath } from '../../domain/poison.ts';
import type { Keyspace } from '../keys.ts';
import { createDeadWorkersJobs } from './dead-workers-jobs.ts';
import type { SuspectFate } from './dead-workers-jobs.ts';
import { heldJobs, requeueInFront } from './held-jobs.ts';
import type { HeldJob } from './held-jobs.ts';
import { isNotOurs } from './lock-errors.ts';
import type { WorkerDeath } from './port.ts';

export type TakeoverOptions = { redis: Redis; keys: Keyspace; shard: number; queue: Queue };

/** Takes one shard's jobs from a dead worker, as `JobQueue.takeFrom` says. */
export function createTakeover({ redis, keys, shard, queue }: TakeoverOptions) {
  const dead = createDeadWorkersJobs(redis, keys, shard, queue);
  const channel = keys.workers(shard);

  const putInFront = (jobs: readonly HeldJob[]) => requeueInFront(redis, queue, jobs, { channel });

  async function judged(worker: string, death: WorkerDeath): Promise<Promise<number>[]> {
    const { jobs, unexplained } = await dead.find(worker, death.silentMs);
    const fates = judgeDeath(jobs, { cause: death.cause, unexplained });
    // A single suspect explains the death, even if its run is not known to have begun: otherwise a client that
    // repeats its request would kill one more worker each time.
    const isExplained = fates.filter((fate) => fate !== 'go_on').length === 1;
    const suspects = jobs.flatMap((job, i) => {
      const fate = fates[i] ?? 'go_on';
      return fate === 'go_on' ? [] : [{ job, fate }];
    });
    // First the jobs with a partly delivered answer, with one script, because their readers wait.
    const moves = [putInFront(jobs.filter((_, i) => (fates[i] ?? 'go_on') === 'go_on'))];
    if (suspects.length > 0) moves.push(moveSuspects(suspects, death));
    if (!isExplained) moves.push(dead.noteUnexplained(worker).then(() => 0));
    return moves;
  }

  /** Moves suspects, and informs the workers how many of them wait again. */
  async function moveSuspects(
    suspects: readonly { job: HeldJob; fate: SuspectFate | 'poisoned' }[],
    death: WorkerDeath,
  ): Promise<number> {
    const ended: HeldJob[] = [];
    let others = 0;
    const moves = suspects.map(async ({ job, fate }) => {
      if (fate === 'poisoned') return fail(job, death);
      const outcome = await dead.requeueBehind(job, fate);
      // The worker that takes it finds the end, and completes the job.
      if (outcome === 'ended') ended.push(job);
      if (outcome === 'back') others += 1;
    });
    const results = await Promise.allSettled(moves);
    const moved = await requeueInFront(redis, queue, ended, { channel, others });
    for (const one of results) if (one.status === 'rejected') throw one.reason;
    return moved + others;
  }

  /** Ends the request first, because no worker writes its end once the job has failed. */
  async function fail({ id, token }: HeldJob, death: WorkerDeath): Promise<void> {
    await death.failRequest(id);
    const job = await Job.fromId(queue, id);
    try {
      await job?.moveToFailed(new UnrecoverableError('poisoned_request'), token);
    } catch (error) {
      if (!isNotOurs(error)) throw error;
    }
  }

  return async (worker: string, death: WorkerDeath | undefined): Promise<number> => {
    const moves = death
      ? await judged(worker, death)
      : [putInFront(await heldJobs(redis, queue, worker))];
    // Wait for all: the next call finds the jobs again whose move failed.
    const moved = await Promise.allSettled(moves);
    for (const one of moved) if (one.status === 'rejected') throw one.reason;
    return moved.reduce((sum, one) => sum + (one.status === 'fulfilled' ? one.value : 0), 0);
  };
}
