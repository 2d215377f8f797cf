import type { AuditEntry } from '@millrace/shared/domain/audit';
import type { EntryQueue } from '@millrace/shared/store/entry-queue/port';
import type { LedgerDatabase } from '../database/open.ts';
import { startConsumer } from '../ledger/consumer.ts';
import type { Consumer, ConsumerOptions } from '../ledger/consumer.ts';
import { startRetention } from '../ledger/retention.ts';
import { removeAuditBefore, storeAudit } from './store.ts';

export type AuditOptions = {
  database: LedgerDatabase;
  /** Resolves when the tables are there. Rejects while the database is away. */
  ready(): Promise<void>;
  queue: EntryQueue<AuditEntry>;
  /** Milliseconds for which entries are kept: those of refused keys, and all others. */
  refusedRetentionMs: number;
  retentionMs: number;
  onRejected: ConsumerOptions<AuditEntry>['onRejected'];
  onError(error: unknown): void;
};

/** The audit log at work: entries become rows, which are removed when their time is over. */
export type AuditLog = {
  readonly consumer: Pick<Consumer, 'problem'>;
  backlog: EntryQueue<AuditEntry>['backlog'];
  stop(): Promise<void>;
};

export function startAudit(options: AuditOptions): AuditLog {
  const { database, ready, queue, refusedRetentionMs, retentionMs, onError } = options;
  const consumer = startConsumer({
    queue,
    shards: 1,
    async store(entries) {
      await ready();
      await storeAudit(database, entries);
    },
    onRejected: options.onRejected,
    // Entries are few, and an operator looks for the one of what he has just done.
    gatherMs: 0,
    onError,
  });
  const retention = startRetention({
    // Each kind of entry has a time of its own.
    retentionMs: 0,
    async removeBefore(now, limit) {
      await ready();
      const times = { refused: now - refusedRetentionMs, others: now - retentionMs };
      return removeAuditBefore(database, { ...times, limit });
    },
    onError,
  });
  return {
    consumer,
    backlog: () => queue.backlog(),
    async stop() {
      await Promise.all([consumer.stop(), retention.stop()]);
      queue.close();
    },
  };
}
