/**
 * Entries that wait in Redis until the control plane has stored them: ended requests (store/ledger), audit entries
 * (store/audit). Each kind has a stream in every shard, or one stream.
 *
 * Guarantees:
 * - every entry is delivered until `done` was called for it, also if its consumer dies in between: a consumer stores
 *   an entry such that a second delivery changes nothing;
 * - an entry that no process can read does not hold up others: `onDamaged` gets it, and it is removed.
 */
export type EntryQueue<T> = {
  /**
   * Up to `count` entries of one shard, oldest first. Waits for the first one up to 5 s, and resolves with none if
   * none came or the signal aborts. Rejects while Redis is away.
   */
  take(shard: number, count: number, signal: AbortSignal): Promise<Taken<T>[]>;
  /** The same without a wait, for a consumer that stops. */
  takeNow(shard: number, count: number): Promise<Taken<T>[]>;
  /** These entries are stored: they leave Redis. */
  done(shard: number, entries: readonly Taken<T>[]): Promise<void>;
  backlog(): Promise<Backlog>;
  close(): void;
};

/** `entryId`: names the entry within its shard. */
export type Taken<T> = { entryId: string; entry: T };

/** `dropped`: entries that were not kept because their stream was full, since Redis was new. */
export type Backlog = { waiting: number; dropped: number };
