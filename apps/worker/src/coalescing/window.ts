/**
 * How long the chunks of one stream are gathered now. `gathering.ts` reads it; the append lag that the
 * appender measures moves it.
 */
export type CoalescingWindow = {
  /** Milliseconds. 0: every chunk is read as it arrives. */
  readonly ms: number;
  /**
   * Reports that a batch is in Redis, `lagMs` after its first line was ready. `now` may come from any
   * monotonic clock.
   */
  appended(lagMs: number, now: number): void;
};

/**
 * Milliseconds of the widest window. It leaves 60 ms for the other delays of a chunk on a busy machine if 100
 * ms in all are acceptable.
 */
export const widestMs = 40;
/** Milliseconds of the narrowest window: a shorter one would rarely join two chunks of a fast model. */
const narrowestMs = 20;
/**
 * Average milliseconds from a line to its entry in Redis above which this process is late: the next chunk of
 * a fast model arrives before the last one is logged.
 */
const lateMs = 20;
/** Average milliseconds below which this process is punctual again. Gathering by itself adds up to 5. */
const punctualMs = 10;
/** Milliseconds between two decisions. */
const lookMs = 200;
/** Milliseconds for which the process must be punctual before the window shrinks by one step. */
const calmMs = 500;
const stepMs = 10;
/** Milliseconds without a batch after which the measured average is discarded. */
const forgetMs = 2000;

/**
 * `auto`: the window doubles after 200 ms of lateness, up to the widest, shrinks by 10 ms after 500 ms of
 * punctuality, and otherwise stays. So it settles where this process just keeps up and does not oscillate. A
 * number of milliseconds fixes the window.
 */
export function createCoalescingWindow(setting: 'auto' | number): CoalescingWindow {
  if (setting !== 'auto') return { ms: setting, appended() {} };
  let ms = 0;
  let sum = 0;
  let count = 0;
  let since = 0;
  let lastAt = -Infinity;
  /** When the process was last not punctual, or when the window last shrank. */
  let calmSince = -Infinity;

  return {
    get ms() {
      return ms;
    },
    appended(lagMs, now) {
      if (now - lastAt > forgetMs) {
        ms = sum = count = 0;
        since = now;
      }
      lastAt = now;
      sum += lagMs;
      count += 1;
      if (now - since < lookMs) return;
      const meanMs = sum / count;
      sum = count = 0;
      since = now;
      if (meanMs > lateMs) ms = Math.min(widestMs, Math.max(narrowestMs, 2 * ms));
      if (meanMs >= punctualMs) calmSince = now;
      else if (now - calmSince >= calmMs) {
        calmSince = now;
        ms = ms > narrowestMs ? Math.max(narrowestMs, ms - stepMs) : 0;
      }
    },
  };
}
