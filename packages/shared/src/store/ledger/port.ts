import type { LedgerEntry } from '../../domain/ledger.ts';

/**
 * The ledger entries that the database does not have yet. The scripts that end requests write them (stream-log), the control
 * plane takes them.
 *
 * Guarantees:
 * - every entry is delivered until `done` was called for it, also if its consumer dies in between: a consumer stores
 *   an entry such that a second delivery changes nothing;
 * - an entry that no process can read does not hold up others: `onDamaged` gets it, and it is removed.
 */
export type LedgerQueue = {
  /**
   * Up to `count` entries of one shard, oldest first. Waits for the first one up to 5 s, and resolves with none if
   * none came or the signal aborts. Rejects while Redis is away.
   */
  take(shard: number, count: number, signal: AbortSignal): Promise<TakenEntry[]>;
  /** The same without a wait, for a consumer that stops. */
  takeNow(shard: number, count: number): Promise<TakenEntry[]>;
  /** The database has these entries: they leave Redis. */
  done(shard: number, entries: readonly TakenEntry[]): Promise<void>;
  backlog(): Promise<LedgerBacklog>;
  close(): void;
};

/** `entryId`: names the entry within its shard. */
export type TakenEntry = { entryId: string; entry: LedgerEntry };

/** `dropped`: requests that ended while the stream was full (domain/ledger.ts), since Redis was new. */
export type LedgerBacklog = { waiting: number; dropped: number };
