import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How late the event loop ran timers that were due, in milliseconds. */
export type Lateness = { meanMs: number; p99Ms: number; maxMs: number };

export type LoopDelay = {
  /** Since the last call. */
  take(): Lateness;
  /** The longest delay that `take` has returned since the last call, in milliseconds. */
  takeWorst(): number;
  /** Stops measuring until `resume`: each measurement wakes a process that may be idle. */
  rest(): void;
  /** Idempotent. */
  resume(): void;
  close(): void;
};

/** Milliseconds between two looks at the loop; each measured delay includes them. */
const resolutionMs = 10;

/** Measures the delay of this process's event loop. */
export function watchLoopDelay(): LoopDelay {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  let worstMs = 0;
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolutionMs);
  return {
    take() {
      // Without a look there is no mean; a loop that was blocked all the time had no look yet.
      const seen =
        delay.count === 0
          ? { meanMs: 0, p99Ms: 0, maxMs: 0 }
          : {
              meanMs: late(delay.mean),
              p99Ms: late(delay.percentile(99)),
              maxMs: late(delay.max),
            };
      delay.reset();
      worstMs = Math.max(worstMs, seen.maxMs);
      return seen;
    },
    takeWorst() {
      const worst = worstMs;
      worstMs = 0;
      return worst;
    },
    rest() {
      delay.disable();
      delay.reset();
    },
    resume: () => void delay.enable(),
    close: () => void delay.disable(),
  };
}

/** Whether this process can trust its observations of others: its own loop may have been late. */
export type LateLoop = {
  /**
   * Whether the event loop is late, or was within `aftermathMs`: timers may have run before sockets that were
   * readable for long, and other processes may have declared this one dead.
   */
  wasLate(): boolean;
  /** How often the loop was late since the start, including now. */
  times(): number;
  /** Looks rarely until `resume`: with no work under way a short stop has no consequences. */
  rest(): void;
  /** Idempotent. */
  resume(): void;
  close(): void;
};

export type LateLoopOptions = {
  /** Called each time that the loop was late. */
  onLate?: () => void;
  /** Milliseconds, of a clock that never jumps. */
  now?: () => number;
};

/** Milliseconds between two looks at the loop. */
const lookMs = 50;
/** Milliseconds between two looks of an idle process; it still detects a stop that the fleet takes for a hang. */
export const restLookMs = 500;
/**
 * Milliseconds by which a look has to be late. A garbage collection or a parse of a large body takes tens
 * of milliseconds; the fleet takes a process for hung after three times this value.
 */
export const lateMs = 500;
/** Milliseconds for which consequences may still arrive: resets, timeouts, messages of other processes. */
export const aftermathMs = 1000;

/** Detects that this process was stopped: a SIGSTOP, a suspended machine, a block of its own loop. */
export function watchLateLoop({
  onLate,
  now = () => performance.now(),
}: LateLoopOptions = {}): LateLoop {
  let lookedAt = now();
  let lateAt = -Infinity;
  let times = 0;
  let everyMs = lookMs;
  let timer: NodeJS.Timeout;

  /** Also called by the readers: the first timer after a stop may be one of theirs. */
  function look(): void {
    const at = now();
    const isLate = at - lookedAt > everyMs + lateMs;
    lookedAt = at;
    if (!isLate) return;
    lateAt = at;
    times += 1;
    onLate?.();
  }

  function lookEvery(ms: number): void {
    if (ms === everyMs) return;
    look();
    everyMs = ms;
    clearInterval(timer);
    timer = setInterval(look, ms).unref();
  }

  timer = setInterval(look, lookMs).unref();
  return {
    rest: () => lookEvery(restLookMs),
    resume: () => lookEvery(lookMs),
    wasLate() {
      look();
      return now() - lateAt < aftermathMs;
    },
    times() {
      look();
      return times;
    },
    close: () => clearInterval(timer),
  };
}
