import { promisify } from 'node:util';
import { gunzip as gunzipCallback, gzip as gzipCallback } from 'node:zlib';
import type { Config } from '@millrace/shared/config';
import { readRecord } from '@millrace/shared/store/debug-log/framing';
import type { PackedRecord } from '@millrace/shared/store/debug-log/redis-debug-log';
import type { EntryQueue } from '@millrace/shared/store/entry-queue/port';
import { startConsumer } from '../ledger/consumer.ts';
import { startRetention } from '../ledger/retention.ts';
import { createDebugFiles } from './files.ts';
import type { DebugFiles, DebugLine } from './files.ts';

/** The debug log at work: records become lines of files, which are removed when their time is over. */
export type DebugLog = Pick<DebugFiles, 'find' | 'usage'> & {
  /** Why records are not written at the moment. */
  readonly problem: string | undefined;
  backlog: EntryQueue<PackedRecord>['backlog'];
  stop(): Promise<void>;
};

export type DebugLogOptions = {
  config: NonNullable<Config['debugLog']>;
  queue: EntryQueue<PackedRecord>;
  onError(error: unknown): void;
};

export function startDebugLog({ config, queue, onError }: DebugLogOptions): DebugLog {
  const files = createDebugFiles(config);
  // What a control plane that ended left behind.
  void files.clean().catch(onError);
  const consumer = startConsumer({
    queue,
    shards: 1,
    // A slow disk delays this loop only: the queue fills, and workers drop what it does not take.
    store: storeOnce(files, onError),
    onRejected: (_record, error) => onError(error),
    gatherMs: 0,
    onError,
  });
  const retention = startRetention({
    retentionMs: config.retentionMs,
    async removeBefore() {
      await files.clean();
      return 0;
    },
    onError,
  });
  return {
    find: files.find,
    usage: files.usage,
    get problem() {
      return consumer.problem;
    },
    backlog: () => queue.backlog(),
    async stop() {
      await Promise.all([consumer.stop(), retention.stop()]);
      queue.close();
      await files.close();
    },
  };
}

/** Stores records one after the other. After a failure, another try with the same records goes on where the first one failed. */
export function storeOnce(files: Pick<DebugFiles, 'write'>, onError: (error: unknown) => void) {
  const stored = new WeakSet<PackedRecord>();
  return async (records: readonly PackedRecord[]): Promise<void> => {
    for (const record of records) {
      if (stored.has(record)) continue;
      const line = await toLine(record, onError);
      if (line) await files.write([line]);
      stored.add(record);
    }
  };
}

const gunzip = promisify(gunzipCallback);
const gzip = promisify(gzipCallback);

/** Undefined for a record that cannot be read: it would be delivered for ever. */
async function toLine(
  { request, packed }: PackedRecord,
  onError: (error: unknown) => void,
): Promise<DebugLine | undefined> {
  try {
    const record = readRecord(await gunzip(packed));
    return { request, line: await gzip(`${JSON.stringify(record)}\n`) };
  } catch (error) {
    onError(error);
    return undefined;
  }
}
