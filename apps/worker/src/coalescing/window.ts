/**
 * How long the chunks of one stream are gathered, at this moment. Read by the reader of the upstream
 * sockets (gathering.ts), moved by what the appender measures.
 */
export type CoalescingWindow = {
  /** Milliseconds; 0: every chunk is read as it comes. */
  readonly ms: number;
  /** A batch is in Redis, so many milliseconds after its first line was ready. `now`: of any steady clock. */
  appended(lagMs: number, now: number): void;
};

/** Milliseconds of the widest window: what else delays a chunk on a busy machine is to fit beside it in 100. */
export const widestMs = 40;
/** Below it, gathering would put two chunks of a fast model together only now and then. */
const narrowestMs = 20;
/**
 * Milliseconds from a line to its entry in Redis, on average, above which this process is late: the next
 * chunk of a fast model is there before the last one is logged...
 */
const lateMs = 20;
/** ...and below which it is not late any more. Gathering by itself adds up to 5. */
const punctualMs = 10;
/** Milliseconds between two judgements. */
const lookMs = 200;
/** Milliseconds of being punctual before the window is made narrower by one step. */
const calmMs = 500;
const stepMs = 10;
/** Milliseconds without a batch after which it is not known any more whether this process is late. */
const forgetMs = 2000;

/**
 * `auto`: 200 ms of being late double the window, up to the widest; half a second of being punctual takes
 * 10 ms off it; in between it stays. So it settles where this process just keeps up, instead of opening and
 * closing in turns. A number of milliseconds is the window, whatever is measured.
 */
export function createCoalescingWindow(setting: 'auto' | number): CoalescingWindow {
  if (setting !== 'auto') return { ms: setting, appended() {} };
  let ms = 0;
  let sum = 0;
  let count = 0;
  let since = 0;
  let lastAt = -Infinity;
  /** When it was last not punctual, or made narrower. */
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
