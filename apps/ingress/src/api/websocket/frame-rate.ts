/**
 * A token bucket for the frames of one connection: `perSecond` a second, and as many in a burst. Frames that
 * had arrived when reading stopped are served and counted, too, so that the rate is kept over time.
 */
export type FrameRate = {
  /** Counts frames at a time in milliseconds. Returns the milliseconds for which none may be read. */
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
