import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { LedgerQueue } from '@millrace/shared/store/ledger/port';
import type { Prices } from '@millrace/shared/cost/prices';
import { createMigrator } from '../database/open.ts';
import type { LedgerDatabase } from '../database/open.ts';
import { startCompletion } from './completion.ts';
import { startConsumer } from './consumer.ts';
import type { Consumer, ConsumerOptions } from './consumer.ts';
import { startRetention } from './retention.ts';
import { incompleteRequests, removeBefore, storeEntries } from './store.ts';

export type LedgerOptions = {
  database: LedgerDatabase;
  queue: LedgerQueue;
  log: Pick<StreamLog, 'describe' | 'read'>;
  prices: Prices;
  shards: number;
  /** Milliseconds for which rows are kept, and for which logs can be read. */
  retentionMs: number;
  logRetentionMs: number;
  /** The database has these entries. */
  onStored(entries: readonly LedgerEntry[]): void;
  /** Rows of requests that were created from this time on (milliseconds since the epoch) stay, however short `retentionMs` is. */
  keepFrom(): number;
  onRejected: ConsumerOptions<LedgerEntry>['onRejected'];
  onError(error: unknown): void;
};

/** The ledger at work: entries become rows, rows are completed, and removed when their time is over. */
export type Ledger = {
  readonly database: LedgerDatabase;
  readonly consumer: Pick<Consumer, 'stored' | 'rejected' | 'problem'>;
  backlog: LedgerQueue['backlog'];
  /** Resolves when the tables are there. Rejects while the database is away. */
  ready(): Promise<void>;
  /** `beforeClose`: what still needs the database when nothing is stored any more. */
  stop(beforeClose?: () => Promise<void> | undefined): Promise<void>;
};

export function startLedger(options: LedgerOptions): Ledger {
  const { database, queue, log, prices, shards, retentionMs, logRetentionMs, onError } = options;
  const ready = createMigrator(database);
  const store: ConsumerOptions<LedgerEntry>['store'] = async (entries) => {
    await ready();
    await storeEntries(database, entries, prices);
    options.onStored(entries);
  };
  const consumer = startConsumer({
    queue,
    shards,
    store,
    onRejected: options.onRejected,
    onError,
  });
  const completion = startCompletion({
    log,
    retentionMs: logRetentionMs,
    async incomplete(time) {
      await ready();
      return incompleteRequests(database, time);
    },
    store,
    // The consumer reports a database that is away.
    onError: (error) => consumer.problem ?? onError(error),
  });
  const retention = startRetention({
    retentionMs,
    async removeBefore(before, limit) {
      await ready();
      return removeBefore(database, Math.min(before, options.keepFrom()), limit);
    },
    onError,
  });
  return {
    database,
    consumer,
    backlog: () => queue.backlog(),
    ready,
    async stop(beforeClose) {
      await Promise.all([consumer.stop(), completion.stop(), retention.stop()]);
      await beforeClose?.();
      queue.close();
      await database.destroy();
    },
  };
}
