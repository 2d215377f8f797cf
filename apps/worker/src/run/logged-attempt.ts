import type { Attempt, AttemptOutcome } from './attempt.ts';

export type LoggedAttemptOptions = {
  /** Resolves when the attempt's line is in the log; by then, a run that has lost its log was stopped. */
  logged: Promise<void>;
  /** Aborts with the run: no call is made after that. */
  signal: AbortSignal;
  /** Makes the call. */
  start(): Attempt;
  /** Called if the call is not made. */
  onNotCalled(): void;
};

/** An attempt that makes its call once its line is in the log. Never rejects. */
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
