/**
 * How many frames of one connection are read: so many a second, and as many at once. Those that came
 * already when reading stopped are served too, and count: over time it is never more.
 */
export type FrameRate = {
  /** Frames came, at a time in milliseconds; how long none may be read now, in milliseconds. */
  take(now: number, frames?: number): number;
};

export function createFrameRate(perSecond: number): FrameRate {
  let left = perSecond;
  let at: number | undefined;
  return {
    take(now, frames = 1) {
      const passedMs = Math.max(0, now - (at ?? now));
      left = Math.min(perSecond, left + (passedMs * perSecond) / 1000) - frames;
      at = now;
      return left >= 0 ? 0 : Math.ceil((-left * 1000) / perSecond);
    },
  };
}
