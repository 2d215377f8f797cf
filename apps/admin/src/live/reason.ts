import { parseRequestId, priorities } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import type { WaitingJob } from '@millrace/shared/store/queue/waiting-list';
import type { LiveSample } from './sample.ts';

/* Why requests wait. Pure. */

/** The reasons of the waiting requests of a sample, in the order of the queue. */
export function reasonsOf(sample: LiveSample): string[] {
  const { jobs } = sample.waiting;
  const higher = countHigher(jobs);
  return jobs.map((job, position) =>
    reasonOf(job, { position, higher: higher[position] ?? 0 }, sample),
  );
}

/** Why a request that a worker has makes no attempt now. */
export const waitsAt = (worker: string, waits: string): string =>
  `It waits at ${worker} for a target: ${waits}.`;

/** A job without a class goes before all others. */
export const classOf = ({ data }: WaitingJob): Priority => data?.standing?.priority ?? 'high';

const rankOf = (job: WaitingJob): number => priorities.indexOf(classOf(job));

/** For each job, how many of a higher class are before it. */
function countHigher(jobs: readonly WaitingJob[]): number[] {
  const seen = priorities.map(() => 0);
  return jobs.map((job) => {
    const rank = rankOf(job);
    const count = seen.slice(0, rank).reduce((sum, one) => sum + one, 0);
    seen[rank] = (seen[rank] ?? 0) + 1;
    return count;
  });
}

/** Why a request waits now, in one sentence. `higher`: requests of a higher class among the `position` that are before it. */
export function reasonOf(
  { id, data }: Pick<WaitingJob, 'id' | 'data'>,
  { position, higher }: { position: number; higher: number },
  { workers, heard, waiting }: Pick<LiveSample, 'workers' | 'heard' | 'waiting'>,
): string {
  const shard = parseRequestId(id)?.shard ?? 0;
  if (waiting.pausedShards.includes(shard)) return 'The queue is paused.';
  if (workers.length === 0 && heard === 0) return 'No worker is there to take it.';
  // Workers that are too busy to answer may be those that would take it.
  if (workers.length < heard) {
    return `Not known: ${count(heard - workers.length, 'worker')} of ${heard} did not answer in time.`;
  }
  const slots = workers.reduce((sum, one) => sum + one.slots, 0);
  if (slots === 0) return `All workers are drained: they take no requests.`;
  const model = data?.model ?? '';
  const skips = workers.map(({ skipped }) => skipped[model]);
  if (skips.every((why) => why === 'broken')) {
    return `Every target of its model ${model} is open, by its breaker or by an operator's order.`;
  }
  if (skips.every((why) => why !== undefined)) {
    return `Its model ${model} is at its limit: the targets take no more requests now.`;
  }
  const before = beforeIt(position, higher);
  const busy = workers.reduce((sum, one) => sum + one.busy, 0);
  if (busy >= slots) {
    const taken = `All ${slots} slots of the ${count(workers.length, 'worker')} are taken`;
    return before === '' ? `${taken}.` : `${taken}, and before it ${before}.`;
  }
  return before === '' ? 'It is next: a worker takes it at once.' : `Before it ${before}.`;
}

function beforeIt(position: number, higher: number): string {
  if (position === 0) return '';
  const all = `${position === 1 ? 'is' : 'are'} ${count(position, 'request')}`;
  if (higher === 0) return all;
  return higher === position ? `${all} of higher priority` : `${all}, ${higher} of higher priority`;
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
