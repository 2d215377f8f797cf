import type { Logger } from '../../runtime/logger.ts';

/** Milliseconds between two checks. Operators pause queues, and a late notice loses no request. */
const everyMs = 2000;

export type PauseWatch = {
  /** Shards whose queue was paused at the last check. */
  paused(): readonly number[];
  stop(): void;
};

export type PauseWatchOptions = {
  /** Rejects while Redis is away; the last result stays then. */
  pausedShards(): Promise<readonly number[]>;
  logger: Pick<Logger, 'info' | 'warn'>;
};

/** Checks every two seconds whether an operator has paused a queue, and logs each change once. */
export function watchPause({ pausedShards, logger }: PauseWatchOptions): PauseWatch {
  let known: readonly number[] = [];

  async function look(): Promise<void> {
    const now = await pausedShards();
    if (now.join() === known.join()) return;
    known = now;
    if (now.length > 0) {
      logger.warn({ shards: now }, 'the queue is paused: workers get no jobs until it is resumed');
    } else logger.info('the queue is resumed');
  }

  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look()
      // store/outage.ts logs that Redis is away.
      .catch(() => {})
      .finally(() => {
        looking = false;
      });
  }, everyMs);
  timer.unref();
  return { paused: () => known, stop: () => clearInterval(timer) };
}

/** One line for operators; undefined while no queue is paused. */
export const pauseReason = (shards: readonly number[]): string | undefined =>
  shards.length === 0 ? undefined : `the queue is paused (shards ${shards.join(', ')})`;
