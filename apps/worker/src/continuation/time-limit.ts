import type { Fault } from '@millrace/shared/domain/fault';

/** The latest end of a request, in milliseconds since the epoch, and the fault that it then fails with. */
export type TimeLimit = { at: number; fault: Fault };

export type TimeLimitInput = {
  /** When its first attempt began, on any worker; undefined before that. */
  startedAt: number | undefined;
  /** The model's `timeout`, in milliseconds: of all attempts together. Waiting in the queue does not count. */
  timeoutMs: number;
  /** The caller's deadline; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  now: number;
};

/** The model's timeout or the caller's deadline, whichever comes first. */
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
