import type { FaultCode } from './fault.ts';

/**
 * How a job ends for good. `reason` may have the message of a provider, which may repeat the request; `code`, for logs,
 * is what it is about then.
 */
export type JobOutcome =
  | { kind: 'completed'; summary: string }
  | { kind: 'failed'; reason: string; code?: FaultCode };

/** What lua/end-job.lua writes, in BullMQ's form. */
export type JobEnd = {
  /** The token of its lock: the job ends only while this token holds it. */
  token: string;
  set: 'completed' | 'failed';
  /** The return value as JSON, or the reason. */
  value: string;
  /** JSON: the stack of the error, of a job that failed. */
  trace: string;
};

export function jobEnd(token: string, outcome: JobOutcome): JobEnd {
  if (outcome.kind === 'completed') {
    return { token, set: 'completed', value: JSON.stringify(outcome.summary), trace: '' };
  }
  const { reason } = outcome;
  // The stack has no location, because all such errors are created here.
  const trace = JSON.stringify([`UnrecoverableError: ${reason}`]);
  return { token, set: 'failed', value: reason, trace };
}
