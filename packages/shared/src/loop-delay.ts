import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How late the event loop came to a timer that was due, in milliseconds. */
export type Lateness = { meanMs: number; p99Ms: number; maxMs: number };

export type LoopDelay = {
  /** Since the last time this was asked. */
  take(): Lateness;
  close(): void;
};

/** Milliseconds between two looks at the loop; what it measures has them in it. */
const resolutionMs = 10;

/** What everything in this process waits for: a turn of its event loop. */
export function watchLoopDelay(): LoopDelay {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolutionMs);
  return {
    take() {
      // Without a look there is no mean; a loop that was blocked all the time has had none yet.
      const seen =
        delay.count === 0
          ? { meanMs: 0, p99Ms: 0, maxMs: 0 }
          : {
              meanMs: late(delay.mean),
              p99Ms: late(delay.percentile(99)),
              maxMs: late(delay.max),
            };
      delay.reset();
      return seen;
    },
    close: () => delay.disable(),
  };
}
