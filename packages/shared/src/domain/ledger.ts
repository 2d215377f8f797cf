import type { AttemptEnded, AttemptStarted, Terminal } from './entry.ts';
import type { RequestMeta } from './request.ts';

/*
 * What a fleet keeps of each request when it has ended: for queries, and for its cost. The scripts that write a terminal line
 * also write the request's ledger entry, so each ended request has exactly one, whichever process ended it.
 */

/** One attempt from its start to its end; without an end if its worker was lost and no other knew of it. */
export type LedgerAttempt = { started: AttemptStarted; ended?: AttemptEnded | undefined };

/** What only the worker knows. Its JSON is the `facts` of a ledger entry. */
export type LedgerFacts = {
  attempts: LedgerAttempt[];
  /** The `user` of the request's body. */
  user?: string | undefined;
  /** SHA-256 of the request's messages in hex, the first 16 characters: equal prompts have equal hashes. */
  promptHash?: string | undefined;
  /** Times that the answer went on after a part of it had been delivered. */
  rescues?: number | undefined;
  /** Milliseconds of the longest pause at such a time, from the end of one attempt to the next text. */
  maxGapMs?: number | undefined;
};

export type LedgerEntry = {
  id: string;
  meta: RequestMeta;
  /** Absent: `facts` replace those of an earlier entry, which an ingress wrote. */
  end?: Terminal | undefined;
  facts?: LedgerFacts | undefined;
};

/**
 * Most entries of a shard's stream that wait for the database. At about 1 KB each they take 200 MB of Redis. Requests that end
 * while so many wait get none, and are counted.
 */
export const maxLedgerBacklog = 200_000;
