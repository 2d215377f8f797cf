/** How long a target's first token takes, weighed by age: the last minute or so decides. */
export type FirstTokenAverage = {
  add(sumMs: number, count: number, now: number): void;
  /** Milliseconds; undefined when nothing is known, or nothing recent. */
  read(now: number): number | undefined;
};

/** A first token of so long ago weighs 1/e of one of now; milliseconds. */
const fadeMs = 60_000;
/** What is older says nothing any more: the target is worth a try. */
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
