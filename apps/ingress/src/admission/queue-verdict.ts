import type { QueueStanding } from '@millrace/shared/domain/request';
import { countOwn, countWaiting, jobsAhead, waitMs } from './expected-wait.ts';
import type { Load } from './expected-wait.ts';

export type QueueLimits = {
  queueJobs: number;
  queueBytes: number;
  /** Milliseconds. */
  queueWaitMs: number;
};

export type Ask = {
  standing: QueueStanding;
  model: string;
  /** Nobody waits on the line for it: no bound on the wait but its own deadline. */
  patient: boolean;
  /** Milliseconds since the epoch. */
  deadlineAt: number | undefined;
  /** There are other keys, for which room is kept. */
  shared: boolean;
};

export type ShedReason = 'jobs' | 'bytes' | 'wait' | 'share' | 'deadline';

/** `own`: the key's own requests are in its way, and another key would be admitted. */
export type Admission =
  | { kind: 'admitted' }
  | {
      kind: 'shed';
      reason: ShedReason;
      own: boolean;
      retryAfterMs: number;
      expectedWaitMs: number | undefined;
    };

/** Milliseconds to come back in: at least, where the rate is not known, and at most. */
const soonestMs = 1000;
const unknownMs = 2000;
const latestMs = 60_000;

/** Whether a new request may wait in the queue, by what is known of the queue. */
export function admit(load: Load, limits: QueueLimits, ask: Ask, now: number): Admission {
  const { standing, model, patient, deadlineAt = Infinity, shared } = ask;
  const waiting = countWaiting(load);
  // Those of models that are passed over are not in its way, and how many of them wait is not known.
  const isLimited = load.skipped.includes(model);
  const isPassing = load.skipped.length > 0 && !isLimited;
  const pace = isLimited ? { rate: load.limitedRate } : load;
  const expectedWaitMs = isPassing ? undefined : waitMs(pace, jobsAhead(load, standing));
  const shed = (reason: ShedReason, retryMs: number | undefined, own = false): Admission => ({
    kind: 'shed',
    reason,
    own,
    retryAfterMs: Math.min(latestMs, Math.max(soonestMs, Math.ceil(retryMs ?? unknownMs))),
    expectedWaitMs,
  });

  const free = limits.queueJobs - waiting;
  if (free < 1) return shed('jobs', waitMs(load, 1 - free));
  const isTooMuch = load.bytes + standing.bytes > limits.queueBytes;
  // One that is larger than the whole bound has its turn when nobody else waits.
  if (isTooMuch && waiting > 0) return shed('bytes', waitMs(load, waiting / 2));
  if (shared) {
    // Nobody takes more than what it leaves free: the queue of one key never fills that of the others.
    const own = countOwn(load, standing.key);
    if (own > 0 && own >= free) return shed('share', waitMs(load, own - free + 1), true);
  }
  if (expectedWaitMs === undefined) return { kind: 'admitted' };
  if (now + expectedWaitMs >= deadlineAt) {
    return shed('deadline', expectedWaitMs - (deadlineAt - now));
  }
  if (patient || expectedWaitMs <= limits.queueWaitMs) return { kind: 'admitted' };
  const stranger = waitMs(pace, jobsAhead(load, { ...standing, key: '\0' })) ?? 0;
  const own = shared && stranger <= limits.queueWaitMs;
  return shed('wait', expectedWaitMs - limits.queueWaitMs, own);
}
