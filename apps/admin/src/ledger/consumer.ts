import { setTimeout as sleep } from 'node:timers/promises';
import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { LedgerQueue } from '@millrace/shared/store/ledger/port';

export type ConsumerOptions = {
  queue: LedgerQueue;
  shards: number;
  /** Rejects while the database is away; the entries are stored again later. */
  store(entries: readonly LedgerEntry[]): Promise<void>;
  onError(error: unknown): void;
};

export type Consumer = {
  /** Entries stored since the start. */
  readonly stored: number;
  /** Why nothing is stored at the moment; undefined: it works. */
  readonly problem: string | undefined;
  /** Resolves when what was taken is stored, or could not be within a few seconds: then another consumer gets it. */
  stop(): Promise<void>;
};

/** Entries of one transaction. */
const batch = 500;
const retryMs = 1000;
/** Milliseconds for the last transaction of a process that stops. */
const stopMs = 3000;

/** Moves ledger entries from Redis into the database, one loop for each shard. */
export function startConsumer({ queue, shards, store, onError }: ConsumerOptions): Consumer {
  const stopping = new AbortController();
  const { signal } = stopping;
  let stored = 0;
  let problem: string | undefined;

  async function keepTrying(work: () => Promise<void>): Promise<boolean> {
    while (!signal.aborted) {
      try {
        await work();
        problem = undefined;
        return true;
      } catch (error) {
        // One line for an outage, not one a second.
        if (problem === undefined) onError(error);
        problem = error instanceof Error ? error.message : String(error);
        await sleep(retryMs, undefined, { signal }).catch(() => {});
      }
    }
    return false;
  }

  async function consume(shard: number): Promise<void> {
    while (!signal.aborted) {
      let taken: Awaited<ReturnType<LedgerQueue['take']>> = [];
      await keepTrying(async () => {
        taken = await queue.take(shard, batch, signal);
      });
      if (taken.length === 0) continue;
      const isStored = await keepTrying(async () => {
        await store(taken.map(({ entry }) => entry));
      });
      if (!isStored) return;
      stored += taken.length;
      // What is not acknowledged is delivered again, and changes nothing then.
      await queue.done(shard, taken).catch(onError);
    }
  }

  const loops = Array.from({ length: shards }, (_, shard) => consume(shard));
  return {
    get stored() {
      return stored;
    },
    get problem() {
      return problem;
    },
    async stop() {
      stopping.abort();
      await Promise.race([Promise.all(loops), sleep(stopMs)]);
    },
  };
}
