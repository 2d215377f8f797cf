import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How late the event loop came to a timer that was due, in milliseconds. */
export type Lateness = { meanMs: number; p99Ms: number; maxMs: number };

export type LoopDelay = {
  /** Since the last time this was asked. */
  take(): Lateness;
  /** The worst of what was taken since the last time this was asked, in milliseconds. */
  takeWorst(): number;
  /** Measures no more until `resume`: each measurement wakes a process that may have nothing else to do. */
  rest(): void;
  /** Idempotent. */
  resume(): void;
  close(): void;
};

/** Milliseconds between two looks at the loop; what it measures has them in it. */
const resolutionMs = 10;

/** What everything in this process waits for: a turn of its event loop. */
export function watchLoopDelay(): LoopDelay {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  let worstMs = 0;
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

/** Whether what this process observes about others can be trusted: its own loop may have been late. */
export type LateLoop = {
  /**
   * The event loop is late now, or was a moment ago: timers may have run ahead of sockets that have been
   * readable for long, and other processes may have taken this one for dead.
   */
  wasLate(): boolean;
  /** How often it was late since the start, with now. */
  times(): number;
  /** Looks rarely until `resume`: there is nothing that a short stop could make look worse than it is. */
  rest(): void;
  /** Idempotent. */
  resume(): void;
  close(): void;
};

export type LateLoopOptions = {
  /** Called once for each time that the loop was late. */
  onLate?: () => void;
  /** Milliseconds, of a clock that never jumps. */
  now?: () => number;
};

/** Milliseconds between two looks at the loop. */
const lookMs = 50;
/** Between two looks of a process at rest: a stop that the fleet takes for a hang is still seen. */
export const restLookMs = 500;
/**
 * Milliseconds by which a look has to be late. A garbage collection or a parse of a large body takes tens
 * of them; a process that the fleet takes for hung has been silent for three times as long.
 */
export const lateMs = 500;
/** Milliseconds for which the consequences may still arrive: resets, timeouts, news from other processes. */
export const aftermathMs = 1000;

/** Detects that this process stood still: a SIGSTOP, a suspended machine, a block of its own making. */
export function watchLateLoop({
  onLate,
  now = () => performance.now(),
}: LateLoopOptions = {}): LateLoop {
  let lookedAt = now();
  let lateAt = -Infinity;
  let times = 0;
  let everyMs = lookMs;
  let timer: NodeJS.Timeout;

  /** Also called by those who ask: the first timer after a stop may be theirs. */
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
