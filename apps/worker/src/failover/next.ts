import type { AttemptStarted, Entry, Failed } from '@millrace/shared/domain/entry';
import { faultToError } from '@millrace/shared/domain/fault';
import type { Fault } from '@millrace/shared/domain/fault';
import type { ReaderKind, Target } from '@millrace/shared/domain/request';

/** What the log says of a request so far. */
export type History = {
  attempts: number;
  /** The last attempt, when nothing in the log ends it: the worker that made it is gone. */
  inFlight: AttemptStarted | undefined;
  /** Readers were shown something that was not taken back. */
  shown: boolean;
};

export const noHistory: History = { attempts: 0, inFlight: undefined, shown: false };

export function remember(history: History, entry: Entry): History {
  switch (entry.kind) {
    case 'attempt':
      return { ...history, attempts: history.attempts + 1, inFlight: entry.data };
    case 'attempt_end':
      return { ...history, inFlight: undefined };
    case 'chunk':
    case 'result':
      return history.shown ? history : { ...history, shown: true };
    case 'reset':
      return { ...history, shown: false };
    default:
      return history;
  }
}

export type Situation = {
  targets: readonly Target[];
  reader: ReaderKind;
  history: History;
  /** How the attempt of this run failed; undefined before the first. */
  fault: Fault | undefined;
  /** The request must not be served after this; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  /** Milliseconds since the epoch. */
  now: number;
};

export type Step =
  | { kind: 'attempt'; target: Target; mode: 'start' | 'restart' }
  | { kind: 'fail'; failed: Failed };

/** What a run does next. Pure: the same situation gives the same step. */
export function next({ targets, reader, history, fault, deadlineAt, now }: Situation): Step {
  if (fault) return { kind: 'fail', failed: toFailed(fault, history) };
  if (deadlineAt !== undefined && now >= deadlineAt) {
    return { kind: 'fail', failed: toFailed(tooLate, history) };
  }
  const target = targets[nextIndex(targets, history.inFlight)];
  if (!target) return { kind: 'fail', failed: toFailed(noTarget, history) };
  if (!history.shown) return { kind: 'attempt', target, mode: 'start' };
  // A native reader can be told to forget; a plain one has the text already.
  if (reader === 'native') return { kind: 'attempt', target, mode: 'restart' };
  return { kind: 'fail', failed: toFailed(brokenOff, history) };
}

/** After a worker's death the next target is asked, round again after the last; at first the first. */
function nextIndex(targets: readonly Target[], inFlight: AttemptStarted | undefined): number {
  if (!inFlight) return 0;
  const index = targets.findIndex(
    ({ provider, model }) => provider === inFlight.provider && model === inFlight.model,
  );
  return (index + 1) % Math.max(1, targets.length);
}

const noTarget: Fault = {
  code: 'provider_not_configured',
  message: 'The model has no provider that this worker knows.',
};

const tooLate: Fault = {
  code: 'deadline_exceeded',
  message: 'The deadline of the request passed before it could be answered.',
};

const brokenOff: Fault = {
  code: 'upstream_failed_mid_stream',
  message: 'The answer broke off and could not be continued.',
};

function toFailed(fault: Fault, history: History): Failed {
  const { error, httpStatus } = faultToError(fault);
  const code = history.shown ? 'upstream_failed_mid_stream' : error.code;
  return { error: { ...error, code }, httpStatus, retryAfterMs: fault.retryAfterMs };
}
