import type { QueueStanding } from '@millrace/shared/domain/request';
import { countOwn, countWaiting, jobsAhead, waitMs } from './expected-wait.ts';
import type { Load } from './expected-wait.ts';

export type QueueLimits = {
  queueJobs: number;
  queueBytes: number;
  /** Milliseconds. */
  queueWaitMs: number;
};

export type QueueRequest = {
  standing: QueueStanding;
  model: string;
  /** Requests per second that the model's targets allow by their configured limits; undefined: not limited by number. */
  targetRate: number | undefined;
  /** The request is a job without a client connection: only its own deadline bounds its wait. */
  isBackground: boolean;
  /** Milliseconds since the epoch. */
  deadlineAt: number | undefined;
  /** There are several keys, so the queue keeps room for the others. */
  shared: boolean;
};

export type ShedReason = 'jobs' | 'bytes' | 'wait' | 'share' | 'deadline';

/** `own`: the cause is the key's own requests; a request of another key would be admitted. */
export type QueueVerdict =
  | { kind: 'admitted' }
  | {
      kind: 'shed';
      reason: ShedReason;
      own: boolean;
      retryAfterMs: number;
      expectedWaitMs: number | undefined;
    };

/** Bounds of `retryAfterMs` in milliseconds, and its value while the service rate is unknown. */
const soonestMs = 1000;
const unknownMs = 2000;
const latestMs = 60_000;

/** Decides whether a request may wait in the queue. Pure. */
export function judgeQueue(
  load: Load,
  limits: QueueLimits,
  request: QueueRequest,
  now: number,
): QueueVerdict {
  const { standing, model, targetRate, isBackground, deadlineAt = Infinity, shared } = request;
  const waiting = countWaiting(load);
  // Workers skip the requests of models at their limits, so those do not delay this one. Their number is unknown.
  const isLimited = load.skipped.includes(model);
  const isPassing = load.skipped.length > 0 && !isLimited;
  // Until enough requests have started at the limit, which may take its first minute, its config says how fast they will.
  const pace = isLimited ? { rate: load.limitedRate ?? targetRate } : load;
  const expectedWaitMs = isPassing ? undefined : waitMs(pace, jobsAhead(load, standing));
  const shed = (reason: ShedReason, retryMs: number | undefined, own = false): QueueVerdict => ({
    kind: 'shed',
    reason,
    own,
    retryAfterMs: Math.min(latestMs, Math.max(soonestMs, Math.ceil(retryMs ?? unknownMs))),
    expectedWaitMs,
  });

  const free = limits.queueJobs - waiting;
  if (free < 1) return shed('jobs', waitMs(load, 1 - free));
  const isTooMuch = load.bytes + standing.bytes > limits.queueBytes;
  // A request that is larger than the whole limit is admitted into an empty queue.
  if (isTooMuch && waiting > 0) return shed('bytes', waitMs(load, waiting / 2));
  if (shared) {
    // A key may hold at most half of the remaining room, so that the requests of one key never fill the
    // shared queue.
    const own = countOwn(load, standing.key);
    if (own > 0 && own >= free) return shed('share', waitMs(load, own - free + 1), true);
  }
  if (expectedWaitMs === undefined) return { kind: 'admitted' };
  if (now + expectedWaitMs >= deadlineAt) {
    return shed('deadline', expectedWaitMs - (deadlineAt - now));
  }
  if (isBackground || expectedWaitMs <= limits.queueWaitMs) return { kind: 'admitted' };
  const otherKeyMs = waitMs(pace, jobsAhead(load, { ...standing, key: '\0' })) ?? 0;
  const own = shared && otherKeyMs <= limits.queueWaitMs;
  return shed('wait', expectedWaitMs - limits.queueWaitMs, own);
}
