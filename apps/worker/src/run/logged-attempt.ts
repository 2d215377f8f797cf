import type { Attempt, AttemptOutcome } from './attempt.ts';

export type LoggedAttemptOptions = {
  /** Resolves when the attempt's line is in the log; a run that has lost its log is stopped by then. */
  logged: Promise<void>;
  /** The run is over: nothing is asked any more. */
  signal: AbortSignal;
  /** Makes the call. */
  start(): Attempt;
  /** The call is not made after all. */
  onNotCalled(): void;
};

/** An attempt that makes its call when the log has its line. Never rejects. */
export function startWhenLogged({
  logged,
  signal,
  start,
  onNotCalled,
}: LoggedAttemptOptions): Attempt {
  const { promise: outcome, resolve: settle } = Promise.withResolvers<AttemptOutcome>();
  let attempt: Attempt | undefined;
  let isOver = false;
  let isPaused = false;

  function end(how: AttemptOutcome): void {
    if (isOver || attempt) return;
    isOver = true;
    signal.removeEventListener('abort', onAbort);
    onNotCalled();
    settle(how);
  }
  const onAbort = () => end({ kind: 'aborted' });

  function begin(): void {
    if (isOver) return;
    signal.removeEventListener('abort', onAbort);
    attempt = start();
    if (isPaused) attempt.pause();
    settle(attempt.outcome);
  }

  if (signal.aborted) onAbort();
  else {
    signal.addEventListener('abort', onAbort, { once: true });
    void logged.then(begin);
  }

  return {
    outcome,
    get firstTokenAt() {
      return attempt?.firstTokenAt;
    },
    get heldBytes() {
      return attempt?.heldBytes ?? 0;
    },
    stop(reason) {
      if (attempt) attempt.stop(reason);
      else end(reason === 'superseded' ? { kind: reason } : { kind: 'fault', fault: reason });
    },
    pause() {
      isPaused = true;
      attempt?.pause();
    },
    resume() {
      isPaused = false;
      attempt?.resume();
    },
  };
}
