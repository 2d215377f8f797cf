import { isQueued } from '@millrace/shared/domain/inquiry';
import type { RunView } from '@millrace/shared/domain/inquiry';
import { priorities, requestedModelOf } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import { time, timeOrNull } from '../api/views.ts';
import { classOf, reasonsOf, waitsAt } from './reason.ts';
import type { LiveSample } from './sample.ts';
import { keyOf } from './view.ts';

/* `GET /admin/queue`: the requests that wait, with the reason of each. Pure. */

/** Keys in one answer. */
const maxKeys = 200;

/**
 * Requests that a worker holds back until a target takes them come first: they have left the queue. The others have their
 * position in it.
 */
export function queueView(sample: LiveSample, limit: number) {
  const { at, waiting } = sample;
  const reasons = reasonsOf(sample);
  const held = heldOf(sample);
  const queued = waiting.jobs.map((job, position) => ({
    id: job.id,
    key: keyOf(job.data) ?? null,
    class: classOf(job),
    model: job.data ? requestedModelOf(job.data) : null,
    api: job.data?.endpoint ?? null,
    created_at: time(job.createdAt),
    worker: null,
    position,
    waiting_ms: waitingMs(at, job.createdAt),
    deadline_at: timeOrNull(job.data?.deadlineAt ?? null),
    reason: reasons[position] ?? '',
  }));
  const all = [...held.map((one) => heldView(one, at)), ...queued];
  const shown = all.slice(0, limit);
  const keys = byKey(sample);
  const total = waiting.waiting + atWorkers(sample);
  return {
    paused_shards: waiting.pausedShards,
    waiting: total,
    oldest_ms: all.length === 0 ? null : Math.max(...all.map((one) => one.waiting_ms)),
    by_class: byClass(sample),
    by_key: keys.slice(0, maxKeys),
    fairness: fairness(keys),
    workers: { asked: sample.heard, answered: sample.workers.length },
    data: shown,
    truncated: total > shown.length || keys.length > maxKeys,
  };
}

const waitingMs = (at: number, since: number): number => Math.max(0, at - since);

type HeldRun = { worker: string; run: RunView };

const heldOf = ({ workers }: LiveSample): HeldRun[] =>
  workers.flatMap(({ name, runs }) => runs.filter(isQueued).map((run) => ({ worker: name, run })));

/** How many of the requests at workers wait for a target, also beyond those that the sample names. */
export const atWorkers = ({ workers }: Pick<LiveSample, 'workers'>): number =>
  workers.reduce((sum, one) => sum + (one.waiting ?? 0), 0);

const heldView = ({ worker, run }: HeldRun, at: number) => ({
  id: run.id,
  key: run.key ?? null,
  class: run.class ?? 'high',
  model: run.model,
  api: run.api,
  created_at: time(run.createdAt),
  worker,
  position: 0,
  waiting_ms: waitingMs(at, run.createdAt),
  deadline_at: timeOrNull(run.deadlineAt ?? null),
  reason: waitsAt(worker, run.waits ?? ''),
});

function byClass(sample: LiveSample): Record<Priority, number> {
  const { classes, waiting, jobs } = sample.waiting;
  const counts = { ...classes };
  for (const { run } of heldOf(sample)) counts[run.class ?? 'high'] += 1;
  const inBands = priorities.reduce((sum, name) => sum + classes[name], 0);
  // Those that a worker handed back are in front of all classes.
  for (const job of jobs.slice(0, Math.max(0, waiting - inBands))) counts[classOf(job)] += 1;
  return counts;
}

type KeyLine = { key: string | null; waiting: number; running: number; oldest_ms: number | null };

/** The keys that wait or run, those with most that wait first; of a long queue, by its first requests. */
function byKey(sample: LiveSample): KeyLine[] {
  const { at, waiting, workers } = sample;
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
  for (const { run } of heldOf(sample)) {
    const line = of(run.key ?? null);
    line.waiting += 1;
    // Its worker counts it among its runs.
    line.running -= 1;
    line.oldest_ms = Math.max(line.oldest_ms ?? 0, at - run.createdAt);
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
