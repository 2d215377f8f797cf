import type { LedgerEntry } from '../../domain/ledger.ts';
import type { Backlog, EntryQueue, Taken } from '../entry-queue/port.ts';

/**
 * The ledger entries that the database does not have yet. The scripts that end requests write them (stream-log), the control
 * plane takes them.
 */
export type LedgerQueue = EntryQueue<LedgerEntry>;

export type TakenEntry = Taken<LedgerEntry>;

/** `dropped`: requests that ended while the stream was full (domain/ledger.ts), since Redis was new. */
export type LedgerBacklog = Backlog;
