import type { EntryQueue, Taken } from '@millrace/shared/store/entry-queue/port';
import { isRejectedValue } from '../database/failure.ts';
import { pause } from '../pause.ts';

export type ConsumerOptions<T> = {
  queue: EntryQueue<T>;
  shards: number;
  /** Rejects while the database is away; the entries are stored again later. */
  store(entries: readonly T[]): Promise<void>;
  /** Gets an entry that the database refuses for its values; it is removed then. */
  onRejected(entry: T, error: unknown): void;
  /**
   * Milliseconds between two batches: a transaction for each request would cost as much CPU as an ingress does.
   * @defaultValue 250
   */
  gatherMs?: number;
  onError(error: unknown): void;
};

export type Consumer = {
  /** Entries stored since the start. */
  readonly stored: number;
  /** Entries that the database refused. */
  readonly rejected: number;
  /** Why entries of a shard are not stored at the moment; undefined: all are. */
  readonly problem: string | undefined;
  /**
   * Stores what still waits, within about two seconds. What is left then is delivered to the next control plane.
   */
  stop(): Promise<void>;
};

/** Entries of one transaction. */
const batch = 500;
const retryMs = 1000;
/** Milliseconds for the last transactions of a process that stops. */
const stopMs = 2000;

/** Moves entries from Redis into the database, one loop for each shard. */
export function startConsumer<T>(options: ConsumerOptions<T>): Consumer {
  const { queue, shards, gatherMs = 250, onError } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const problems = new Map<number, string>();
  let stored = 0;
  let rejected = 0;

  /** Rejects only if the database is away: an entry that it refuses does not hold up the others. */
  async function store(entries: readonly T[]): Promise<void> {
    try {
      await options.store(entries);
      stored += entries.length;
    } catch (error) {
      if (!isRejectedValue(error)) throw error;
      const [only] = entries;
      if (entries.length > 1) for (const entry of entries) await store([entry]);
      else if (only !== undefined) {
        rejected += 1;
        options.onRejected(only, error);
      }
    }
  }

  /** False if the process stops before the work succeeds. */
  async function keepTrying(shard: number, work: () => Promise<void>): Promise<boolean> {
    while (!signal.aborted) {
      try {
        await work();
        return true;
      } catch (error) {
        // One line for an outage, not one each second.
        if (!problems.has(shard)) onError(error);
        problems.set(shard, error instanceof Error ? error.message : String(error));
        await pause(retryMs, signal);
      }
    }
    return false;
  }

  const storeTaken = (taken: readonly Taken<T>[]) => store(taken.map(({ entry }) => entry));

  async function consume(shard: number): Promise<void> {
    while (!signal.aborted) {
      let taken: Taken<T>[] = [];
      const isTaken = await keepTrying(shard, async () => {
        taken = await queue.take(shard, batch, signal);
      });
      if (isTaken && taken.length === 0) problems.delete(shard);
      if (!isTaken || taken.length === 0) continue;
      if (!(await keepTrying(shard, () => storeTaken(taken)))) return;
      problems.delete(shard);
      // An entry that is not acknowledged is delivered again, and changes nothing then.
      await queue.done(shard, taken).catch(onError);
      if (taken.length < batch) await pause(gatherMs, signal);
    }
  }

  async function drain(shard: number, untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      const taken = await queue.takeNow(shard, batch);
      if (taken.length === 0) return;
      await storeTaken(taken);
      await queue.done(shard, taken);
    }
  }

  const loops = Array.from({ length: shards }, (_, shard) => consume(shard));

  async function finish(): Promise<void> {
    const until = performance.now() + stopMs;
    await Promise.all(loops);
    if (problems.size > 0) return;
    await Promise.all(loops.map((_, shard) => drain(shard, until)));
  }

  return {
    get stored() {
      return stored;
    },
    get rejected() {
      return rejected;
    },
    get problem() {
      return [...problems.values()][0];
    },
    async stop() {
      stopping.abort();
      await Promise.race([finish().catch(onError), pause(stopMs + 500)]);
    },
  };
}
