import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueStanding } from '@millrace/shared/domain/request';
import type { QueueStats } from '@millrace/shared/domain/queue-stats';
import { countWaiting } from './expected-wait.ts';
import type { Load } from './expected-wait.ts';
import { createServiceRate } from './service-rate.ts';

export type LoadMeter = {
  /** The last reading, up to 200 ms old; undefined before the first one. Makes no round trip. */
  read(): Load | undefined;
  /** Counts a request at once, before the next reading includes it. */
  add(standing: QueueStanding): CountedRequest;
  /** Jobs that start per second while others wait; undefined while unknown. */
  readonly rate: number | undefined;
  stop(): void;
};

/** What happens to a request before the next reading; no effect after it. */
export type CountedRequest = {
  /** Redis has placed its job: it waits, or a worker with a free slot has it. */
  placed(isWaiting: boolean): void;
  /** It was not queued. */
  remove(): void;
};

export type LoadMeterOptions = {
  look(now: number): Promise<QueueStats>;
  shards: number;
  weightOf(key: string): number;
  /** Requests that wait past their deadline. */
  onOverdue(ids: readonly string[]): void;
  onError(error: unknown): void;
  now?(): number;
};

/** Milliseconds between two readings. */
const everyMs = 200;
/** The meter stops this many milliseconds after the last request, unless jobs wait. */
const interestMs = 2000;

/** Reads the queue periodically while requests arrive or jobs wait. */
export function createLoadMeter(options: LoadMeterOptions): LoadMeter {
  const { look, shards, weightOf, onOverdue, onError, now = Date.now } = options;
  const rate = createServiceRate();
  const limitedRate = createServiceRate();
  const controller = new AbortController();
  const { signal } = controller;
  let seen: QueueStats | undefined;
  let askedAt = now();
  let watching = false;
  /** The number of the reading in `seen`. */
  let looks = 0;

  async function watch(): Promise<void> {
    watching = true;
    while (!signal.aborted) {
      try {
        seen = await look(now());
        looks += 1;
        const { taken, overdue } = seen;
        // While workers skip models at their limits, the rate is that of those targets, not that of the fleet.
        const sample = { at: performance.now(), taken };
        const waiting = countWaiting(seen);
        const isLimited = seen.skipped.length > 0;
        rate.note({ ...sample, waiting: isLimited ? 0 : waiting });
        limitedRate.note({ ...sample, waiting: isLimited ? waiting : 0 });
        if (overdue.length > 0) onOverdue(overdue);
      } catch (error) {
        if (!signal.aborted) onError(error);
      }
      const isIdle = !seen || countWaiting(seen) === 0;
      if (isIdle && now() - askedAt > interestMs) break;
      await sleep(everyMs, undefined, { signal, ref: false }).catch(() => {});
    }
    watching = false;
  }

  /** `change`: 1 to add a request, -1 to take it out. */
  function count({ priority, key, weight }: QueueStanding, change: 1 | -1): void {
    if (!seen) return;
    const one = seen.classes[priority];
    const lags = new Map(one.lags);
    const lag = lags.get(key);
    const step = change / weight / shards;
    // The first job of a key has no lag.
    if (change === 1) lags.set(key, lag === undefined ? 0 : lag + step);
    else if (lag === undefined || lag + step < 0) lags.delete(key);
    else lags.set(key, lag + step);
    const waiting = Math.max(0, one.waiting + change);
    seen = { ...seen, classes: { ...seen.classes, [priority]: { waiting, lags } } };
  }

  function wake(): void {
    askedAt = now();
    if (!watching) void watch();
  }
  wake();

  return {
    read() {
      wake();
      if (!seen) return undefined;
      const rates = { rate: rate.perSecond, limitedRate: limitedRate.perSecond };
      return { ...seen, shards, weightOf, ...rates };
    },

    add(standing) {
      if (!seen) return { placed() {}, remove() {} };
      const addedTo = looks;
      seen.bytes += standing.bytes;
      // While no job waits, workers most likely have free slots. Redis then says which requests of a burst wait; those that are
      // on their way to it are not counted yet.
      let isWaiting = countWaiting(seen) > 0;
      if (isWaiting) count(standing, 1);
      return {
        placed(waits) {
          if (isWaiting === waits || looks !== addedTo) return;
          isWaiting = waits;
          count(standing, waits ? 1 : -1);
        },
        remove() {
          if (!seen || looks !== addedTo) return;
          seen.bytes -= standing.bytes;
          if (isWaiting) count(standing, -1);
        },
      };
    },

    get rate() {
      return rate.perSecond;
    },

    stop: () => controller.abort(),
  };
}
