import type { EntryId, TerminalKind } from './entry.ts';

/** The identity with which a run takes a log over, and writes to it. */
export type Claim = {
  /** BullMQ's `attemptsStarted`: rises with each activation. */
  activation: number;
  /** Unique to this activation: it distinguishes two runs with the same number after Redis has lost writes. */
  nonce: string;
  /** The worker's id, by which others reach its channel. */
  worker: string;
};

export type SealOutcome =
  | {
      kind: 'sealed';
      run: number;
      /** The newest line before this run; `0-0` when there is none. */
      last: EntryId;
      /** Entries of the log, including this seal: from here on the run counts its own writes. */
      entries: number;
      body: string;
      /** The lines before this run, from the first one on; the run reads the rest of a long past itself. */
      past: Past;
    }
  /** The request has its terminal entry already. */
  | { kind: 'ended'; by: TerminalKind }
  /** A newer activation holds the log. */
  | { kind: 'fenced' }
  /** The request has expired, or never existed. */
  | { kind: 'gone' };

/** `through`: the id of the last of these lines; `0-0` if there are none. */
export type Past = { entries: readonly PastEntry[]; through: EntryId };

/** `at`: when its run sent it (ms since the epoch); undefined for an entry without a time, as of an older version. */
export type PastEntry = { at: number | undefined; texts: readonly string[] };

/**
 * The log of a request as it was sealed by the command that took its job. `at`: when that was sent, in milliseconds
 * since the epoch: from then on the log may have been taken over by another run.
 */
export type Sealed = { claim: Claim; outcome: SealOutcome; at: number };
