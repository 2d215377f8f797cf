import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import type { History } from '../continuation/history.ts';

/** What a run did, when it has ended: for the metrics, the log and the trace of its request. */
export type RunReport = {
  activation: Activation;
  /** The number of the run in the log of its request. */
  run: number;
  /** Milliseconds since the epoch. */
  startedAt: number;
  endedAt: number;
  outcome: ActivationOutcome;
  /**
   * How the request ended with this run; `outside`: another process ended it, as for a client that left. Undefined: it
   * goes on, or had ended before.
   */
  ended: 'completed' | 'failed' | 'outside' | undefined;
  /** Undefined: the run did not take over the log. */
  history: History | undefined;
};

/** The attempts whose end this run wrote: its own, and those of workers that were lost before. */
export const endedAttempts = ({ run, history }: Pick<RunReport, 'run' | 'history'>) =>
  (history?.ledger ?? []).flatMap(({ started, ended }) =>
    ended?.run === run ? [{ started, ended }] : [],
  );
