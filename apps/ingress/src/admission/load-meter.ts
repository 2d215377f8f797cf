import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueStanding } from '@millrace/shared/domain/request';
import type { QueueStats } from '@millrace/shared/domain/queue-stats';
import { countWaiting } from './expected-wait.ts';
import type { Load } from './expected-wait.ts';
import { createServiceRate } from './service-rate.ts';

export type LoadMeter = {
  /** As it was a moment ago; undefined before the first look. Costs no round trip. */
  read(): Load | undefined;
  /**
   * One more waits: it counts at once, not only when it is seen. What comes back takes it out again,
   * where it did not come in after all.
   */
  add(standing: QueueStanding): () => void;
  /** Jobs that start per second while others wait; undefined where it is not known. */
  readonly rate: number | undefined;
  stop(): void;
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

/** Milliseconds between two looks. */
const everyMs = 200;
/** Milliseconds that it is looked for after the last request; longer while jobs wait. */
const interestMs = 2000;

/** Looks at the queue as long as somebody asks, or something waits. */
export function createLoadMeter(options: LoadMeterOptions): LoadMeter {
  const { look, shards, weightOf, onOverdue, onError, now = Date.now } = options;
  const rate = createServiceRate();
  const limitedRate = createServiceRate();
  const controller = new AbortController();
  const { signal } = controller;
  let seen: QueueStats | undefined;
  let askedAt = now();
  let watching = false;
  /** Which look `seen` is of. */
  let looks = 0;

  async function watch(): Promise<void> {
    watching = true;
    while (!signal.aborted) {
      try {
        seen = await look(now());
        looks += 1;
        const { taken, overdue } = seen;
        // Where some are passed over, what is taken says how fast their targets are, and not the fleet.
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

  /** `change`: 1 for one that comes, -1 for one that did not. */
  function count({ priority, key, weight }: QueueStanding, change: 1 | -1): void {
    if (!seen) return;
    const one = seen.classes[priority];
    const lags = new Map(one.lags);
    const lag = lags.get(key);
    const step = change / weight / shards;
    // The first of a key is not behind itself.
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
      if (!seen) return () => {};
      const addedTo = looks;
      seen.bytes += standing.bytes;
      // While none wait there are places, most likely, and it does not wait either.
      const waits = countWaiting(seen) > 0;
      if (waits) count(standing, 1);
      return () => {
        // A look since then has not seen it.
        if (!seen || looks !== addedTo) return;
        seen.bytes -= standing.bytes;
        if (waits) count(standing, -1);
      };
    },

    get rate() {
      return rate.perSecond;
    },

    stop: () => controller.abort(),
  };
}
