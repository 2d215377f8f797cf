import type { Fault } from '@millrace/shared/domain/fault';

/** When a request ends at the latest, in milliseconds since the epoch, and what is said then. */
export type TimeLimit = { at: number; fault: Fault };

export type TimeLimitInput = {
  /** When its first attempt began, whichever worker made it; undefined before that. */
  startedAt: number | undefined;
  /** The model's `timeout`, in milliseconds: of all attempts together. Waiting in the queue does not count. */
  timeoutMs: number;
  /** The caller's own end; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  now: number;
};

/** The end of a request's time: its model's, or its caller's where that comes first. */
export function timeLimit({
  startedAt,
  timeoutMs,
  deadlineAt = Infinity,
  now,
}: TimeLimitInput): TimeLimit {
  const timeoutAt = (startedAt ?? now) + timeoutMs;
  return deadlineAt <= timeoutAt
    ? { at: deadlineAt, fault: tooLate }
    : { at: timeoutAt, fault: tooLong };
}

const tooLong: Fault = {
  code: 'upstream_timeout',
  message: "The request took longer than its model's timeout.",
};

const tooLate: Fault = {
  code: 'deadline_exceeded',
  message: 'The deadline of the request passed before its answer was complete.',
};
