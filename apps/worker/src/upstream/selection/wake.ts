/** Milliseconds between two steps of waking. */
export const paceMs = 20;
/**
 * Milliseconds until it is looked again at the latest: when a key or a limit opens is our own estimate,
 * and often it opens sooner.
 */
const pollMs = 1000;
/** Requests that one step wakes at most. */
const longestStep = 64;

export type Plan<T> = {
  wake: readonly T[];
  /** What the next step may wake, if those that were woken do not come back. */
  step: number;
  /** When to look again, in milliseconds since the epoch. */
  lookAt: number;
};

/**
 * Which of the waiting requests go now, first come first: one to see whether it gets through, then two, four …
 * A target that opens seldom has capacity for all of them, and one that has just recovered would fail again.
 * `opensAt`: when a request may go, at or before now if it may; undefined if that is not known. A request for which it
 * is called and which may go does go: the sample that was drawn for it is not drawn again.
 */
export function planWake<T>(
  waiting: Iterable<T>,
  { opensAt, step, now }: { opensAt(one: T): number | undefined; step: number; now: number },
): Plan<T> {
  const wake: T[] = [];
  let soonest = now + pollMs;
  for (const one of waiting) {
    const at = opensAt(one) ?? Infinity;
    if (at > now) soonest = Math.min(soonest, at);
    else if (wake.push(one) >= step) break;
  }
  if (wake.length === 0) return { wake, step: 1, lookAt: soonest };
  return { wake, step: Math.min(longestStep, step * 2), lookAt: now + paceMs };
}
