import { requestedModelOf } from '@millrace/shared/domain/request';
import { isQueued } from '@millrace/shared/domain/inquiry';
import type { RunView } from '@millrace/shared/domain/inquiry';
import type { WaitingJob } from '@millrace/shared/store/queue/waiting-list';
import { timeOrNull, time } from '../api/views.ts';
import { reasonsOf, waitsAt } from './reason.ts';
import type { LiveSample } from './sample.ts';

/* `GET /admin/live`: the requests under way, merged from what the workers run and what waits in Redis. Pure. */

/** Requests in one answer. */
export const maxLive = 500;

/**
 * The newest requests under way. Those that run come before those that wait, which may be many. A request that one worker
 * hands to another while the sample is taken may be in both places, or at two workers: it runs at the one that began last.
 */
export function liveView(sample: LiveSample) {
  const { at, workers, waiting } = sample;
  const running = new Map<string, { run: RunView; worker: string }>();
  for (const { name, runs } of workers) {
    for (const run of runs) {
      const known = running.get(run.id);
      if (!known || known.run.attempts < run.attempts) running.set(run.id, { run, worker: name });
    }
  }
  const total = (of: (one: LiveSample['workers'][number]) => number) =>
    workers.reduce((sum, one) => sum + of(one), 0);
  const shown = [...running.values()]
    .map(({ run, worker }) => runningView(run, worker, at))
    .sort(newestFirst)
    .slice(0, maxLive);
  const reasons = reasonsOf(sample);
  const queued = waiting.jobs
    .map((job, position) => queuedView(job, at, reasons[position] ?? null))
    .filter(({ id }) => !running.has(id))
    .sort(newestFirst)
    .slice(0, maxLive - shown.length);
  const atWorkers = total((one) => one.waiting ?? 0);
  const totals = {
    queued: waiting.waiting + atWorkers,
    running: total((one) => one.total) - atWorkers,
    rescued_running: total((one) => one.rescued),
  };
  return {
    at: time(at),
    totals,
    workers: { asked: sample.heard, answered: workers.length },
    running: [...shown, ...queued].sort(newestFirst),
    truncated: totals.queued + totals.running > shown.length + queued.length,
  };
}

export type LiveRequest = ReturnType<typeof runningView> | ReturnType<typeof queuedView>;

function runningView(run: RunView, worker: string, at: number) {
  const { id, model, key, api, stream, createdAt, startedAt, target, mode, attempts, rescues } =
    run;
  return {
    id,
    model,
    key: key ?? null,
    api,
    stream,
    created_at: time(createdAt),
    // One that a worker holds back waits as those in the queue do.
    state: isQueued(run) ? 'queued' : 'running',
    reason: run.waits === undefined ? null : waitsAt(worker, run.waits),
    queue_ms: Math.max(0, (isQueued(run) ? at : startedAt) - createdAt),
    worker,
    provider: target?.provider ?? null,
    target_model: target?.model ?? null,
    mode: mode ?? null,
    attempt: attempts,
    rescues,
    first_text_at: timeOrNull(run.firstTextAt ?? null),
    output_tokens: run.outputTokens,
    last_text_at: timeOrNull(run.lastTextAt ?? null),
  };
}

function queuedView({ id, data, createdAt }: WaitingJob, at: number, reason: string | null) {
  return {
    id,
    model: data ? requestedModelOf(data) : null,
    key: keyOf(data) ?? null,
    api: data?.endpoint ?? null,
    stream: data?.stream ?? null,
    created_at: time(createdAt),
    state: 'queued',
    reason,
    queue_ms: Math.max(0, at - createdAt),
    worker: null,
    provider: null,
    target_model: null,
    mode: null,
    attempt: 0,
    rescues: 0,
    first_text_at: null,
    output_tokens: 0,
    last_text_at: null,
  };
}

/** The API key of a waiting request; undefined without one. */
export const keyOf = (data: WaitingJob['data']): string | undefined =>
  data?.account?.keyId ?? (data?.standing?.key || undefined);

const newestFirst = (one: { created_at: string; id: string }, other: typeof one): number =>
  compare(other.created_at, one.created_at) || compare(other.id, one.id);

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
