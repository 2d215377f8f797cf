/** The average time to a target's first token, weighted by age: about the last minute decides. */
export type FirstTokenAverage = {
  add(sumMs: number, count: number, now: number): void;
  /** Milliseconds; undefined without a recent value. */
  read(now: number): number | undefined;
};

/** Milliseconds after which a first token's weight has fallen to 1/e. */
const fadeMs = 60_000;
/** Milliseconds after which the average is discarded, so that the target is tried again. */
const staleMs = 600_000;

export function createFirstTokenAverage(): FirstTokenAverage {
  let sum = 0;
  let weight = 0;
  let at = 0;
  return {
    add(sumMs, count, now) {
      if (count <= 0) return;
      const fade = Math.exp(-Math.max(0, now - at) / fadeMs);
      sum = sum * fade + sumMs;
      weight = weight * fade + count;
      at = Math.max(at, now);
    },
    read: (now) => (weight > 0 && now - at < staleMs ? sum / weight : undefined),
  };
}
