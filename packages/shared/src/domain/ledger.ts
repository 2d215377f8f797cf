import type { AttemptEnded, AttemptStarted, Terminal } from './entry.ts';
import type { RequestMeta } from './request.ts';

/*
 * What a fleet keeps of each request when it has ended: for queries, and for its cost. The scripts that write a terminal line
 * also write the request's ledger entry, so an ended request has exactly one with its end, whichever process ended it. A
 * request without a terminal line has none: it expired in Redis unread, or an ingress rejected it.
 */

/** One attempt from its start to its end; without an end if its worker was lost and no other knew of it. */
export type LedgerAttempt = { started: AttemptStarted; ended?: AttemptEnded | undefined };

/** What only the worker knows. Its JSON is the `facts` of a ledger entry. */
export type LedgerFacts = {
  attempts: LedgerAttempt[];
  /** The `user` of the request's body. */
  user?: string | undefined;
  /** `metadata.session_id` of the request's body, or its `prompt_cache_key`. */
  session?: string | undefined;
  /** SHA-256 of the request's messages in hex, the first 16 characters: equal prompts have equal hashes. */
  promptHash?: string | undefined;
  /** When readers were sent the first text of a stream (ms since the epoch): the time of its entry in the log. */
  firstTextAt?: number | undefined;
  /** Times that another attempt continued an answer of which a part had been delivered, or began it again. */
  rescues?: number | undefined;
  /**
   * Milliseconds of the longest gap: from the last text before a rescue, or before an operator's move, to the first text behind
   * it, by the times of the log's entries (`DeliveryTimes`).
   */
  maxGapMs?: number | undefined;
};

export type LedgerEntry = {
  id: string;
  meta: RequestMeta;
  /** Absent: this entry only adds `facts`, because another process than the run's worker ended the request. */
  end?: Terminal | undefined;
  /** Absent: another entry may bring them. */
  facts?: LedgerFacts | undefined;
  /** The number of the newest run when the request ended; 0: it never ran, and has no attempts. */
  run: number;
};

/**
 * Most entries of a shard's stream that wait for the database. At about 1 KB each they take 200 MB of Redis. Requests that end
 * while so many wait get none, and are counted.
 */
export const maxLedgerBacklog = 200_000;
