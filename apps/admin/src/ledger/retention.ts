import type { LedgerDatabase } from '../database/open.ts';
import { removeBefore } from './store.ts';

export type RetentionOptions = {
  database: LedgerDatabase;
  retentionMs: number | undefined;
  onError(error: unknown): void;
};

/** Milliseconds between two looks for old requests. */
const intervalMs = 10 * 60_000;
/** Requests of one transaction, so that the consumer never waits for long. */
const batch = 1000;

/** Removes requests from the ledger when their retention ends. */
export function startRetention({ database, retentionMs, onError }: RetentionOptions) {
  if (retentionMs === undefined) return { stop() {} };
  let isStopped = false;
  const removeOld = async (): Promise<void> => {
    const before = Date.now() - retentionMs;
    while (!isStopped && (await removeBefore(database, before, batch)) === batch);
  };
  const timer = setInterval(() => void removeOld().catch(onError), intervalMs);
  timer.unref();
  return {
    stop(): void {
      isStopped = true;
      clearInterval(timer);
    },
  };
}
