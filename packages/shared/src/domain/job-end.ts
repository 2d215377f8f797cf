/** How a job ends for good. */
export type JobOutcome =
  | { kind: 'completed'; summary: string }
  | { kind: 'failed'; reason: string };

/** What lua/end-job.lua writes of it, as BullMQ has it. */
export type JobEnd = {
  /** Of its lock: the job ends only while it is held with this token. */
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
  // Where the error was made says nothing of why: every one is made here.
  const trace = JSON.stringify([`UnrecoverableError: ${reason}`]);
  return { token, set: 'failed', value: reason, trace };
}
