import { requestedModelOf } from '@millrace/shared/domain/request';
import { parseRequestId, priorities } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import type { WaitingJob } from '@millrace/shared/store/queue/waiting-list';
import { time, timeOrNull } from '../api/views.ts';
import type { LiveSample } from './sample.ts';
import { keyOf } from './view.ts';

/* `GET /admin/queue`: the requests that wait, with the reason of each. Pure. */

/** Keys in one answer. */
const maxKeys = 200;

export function queueView(sample: LiveSample, limit: number) {
  const { at, waiting } = sample;
  const { jobs } = waiting;
  const waitingMs = (job: WaitingJob) => Math.max(0, at - job.createdAt);
  const higher = countHigher(jobs);
  const shown = jobs.slice(0, limit);
  const keys = byKey(sample);
  return {
    paused_shards: waiting.pausedShards,
    waiting: waiting.waiting,
    oldest_ms: jobs.length === 0 ? null : Math.max(...jobs.map(waitingMs)),
    by_class: byClass(sample),
    by_key: keys.slice(0, maxKeys),
    fairness: fairness(keys),
    data: shown.map((job, position) => ({
      id: job.id,
      key: keyOf(job.data) ?? null,
      class: classOf(job),
      model: job.data ? requestedModelOf(job.data) : null,
      api: job.data?.endpoint ?? null,
      created_at: time(job.createdAt),
      position,
      waiting_ms: waitingMs(job),
      deadline_at: timeOrNull(job.data?.deadlineAt ?? null),
      reason: reasonOf(job, { position, higher: higher[position] ?? 0 }, sample),
    })),
    truncated: waiting.waiting > shown.length || keys.length > maxKeys,
  };
}

/** A job without a class goes before all others. */
const classOf = ({ data }: WaitingJob): Priority => data?.standing?.priority ?? 'high';

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

function byClass({ waiting: { classes, waiting, jobs } }: LiveSample): Record<Priority, number> {
  const counts = { ...classes };
  const inBands = priorities.reduce((sum, name) => sum + classes[name], 0);
  // Those that a worker handed back are in front of all classes.
  for (const job of jobs.slice(0, Math.max(0, waiting - inBands))) counts[classOf(job)] += 1;
  return counts;
}

type KeyLine = { key: string | null; waiting: number; running: number; oldest_ms: number | null };

/** The keys that wait or run, those with most that wait first; of a long queue, by its first requests. */
function byKey({ at, waiting, workers }: LiveSample): KeyLine[] {
  const lines = new Map<string | null, KeyLine>();
  const of = (key: string | null): KeyLine => {
    const known = lines.get(key) ?? { key, waiting: 0, running: 0, oldest_ms: null };
    lines.set(key, known);
    return known;
  };
  for (const job of waiting.jobs) {
    const line = of(keyOf(job.data) ?? null);
    line.waiting += 1;
    line.oldest_ms = Math.max(line.oldest_ms ?? 0, at - job.createdAt);
  }
  for (const worker of workers) {
    for (const [key, running] of Object.entries(worker.byKey)) of(key).running += running;
  }
  return [...lines.values()].sort(
    (one, other) => other.waiting - one.waiting || other.running - one.running,
  );
}

/** Jain's index of what the keys that wait have running: 1 is even, 1/n is all for one of n. Null for fewer than two keys. */
function fairness(keys: readonly KeyLine[]): number | null {
  const shares = keys.filter(({ waiting }) => waiting > 0).map(({ running }) => running);
  const sum = shares.reduce((total, one) => total + one, 0);
  if (shares.length < 2 || sum === 0) return null;
  const squares = shares.reduce((total, one) => total + one * one, 0);
  return Math.round((sum ** 2 / (shares.length * squares)) * 1000) / 1000;
}

/** Why a request waits now, in one sentence. `higher`: requests of a higher class among the `position` that are before it. */
export function reasonOf(
  { id, data }: Pick<WaitingJob, 'id' | 'data'>,
  { position, higher }: { position: number; higher: number },
  { workers, waiting }: Pick<LiveSample, 'workers' | 'waiting'>,
): string {
  const shard = parseRequestId(id)?.shard ?? 0;
  if (waiting.pausedShards.includes(shard)) return 'The queue is paused.';
  if (workers.length === 0) return 'No worker is there to take it.';
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
