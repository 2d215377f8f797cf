import type { EntryId, TerminalKind } from './entry.ts';

/** What a run shows to take a log over, and to write to it after that. */
export type Claim = {
  /** BullMQ's `attemptsStarted`: rises with each activation. */
  activation: number;
  /** Unique to this activation: tells two holders of one number apart after Redis lost writes. */
  nonce: string;
  /** The worker's id, for whoever must reach it. */
  worker: string;
};

export type SealOutcome =
  | {
      kind: 'sealed';
      run: number;
      /** The newest line before this run; `0-0` when there is none. */
      last: EntryId;
      /** Of the log, with this seal: from here on the run counts its own writes. */
      entries: number;
      body: string;
      /** The lines before this run, from the first one on; the rest of a long past is to be read. */
      past: Past;
    }
  /** The request has its terminal entry already. */
  | { kind: 'ended'; by: TerminalKind }
  /** A newer activation has it. */
  | { kind: 'fenced' }
  /** Its end of life came, or it never was. */
  | { kind: 'gone' };

/** `through`: the place of the last of them; `0-0` when there are none. */
export type Past = { texts: readonly string[]; through: EntryId };

/**
 * The log of a request as it was sealed by the command that took its job. `at`: when that was sent, in milliseconds
 * since the epoch: from then on the log may have been taken over by another run.
 */
export type Sealed = { claim: Claim; outcome: SealOutcome; at: number };
