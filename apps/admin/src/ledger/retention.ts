import { pause } from '../pause.ts';

export type RetentionOptions = {
  retentionMs: number;
  /** Removes requests that were created before this; returns how many, at most `limit`. */
  removeBefore(before: number, limit: number): Promise<number>;
  onError(error: unknown): void;
};

/** Milliseconds between two looks for old requests. */
const intervalMs = 10 * 60_000;
/** Requests of one transaction, so that the consumer never waits for long. */
const batch = 1000;

/** Removes requests from the ledger when their retention ends. */
export function startRetention({ retentionMs, removeBefore, onError }: RetentionOptions) {
  const stopping = new AbortController();
  const { signal } = stopping;

  async function removeOld(): Promise<void> {
    const before = Date.now() - retentionMs;
    while (!signal.aborted && (await removeBefore(before, batch)) === batch);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await pause(intervalMs, signal);
      if (!signal.aborted) await removeOld().catch(onError);
    }
  }

  const running = run();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
