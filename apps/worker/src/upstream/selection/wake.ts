/** Milliseconds between two steps of waking. */
export const paceMs = 20;
/**
 * The longest time between checks in milliseconds: the time at which a key or a limit becomes free is an
 * estimate, and often it is sooner.
 */
const pollMs = 1000;
/** The most requests that one step wakes. */
const longestStep = 64;

export type Plan<T> = {
  wake: readonly T[];
  /** The most requests of the next step, if those that were woken do not return. */
  step: number;
  /** When to look again, in milliseconds since the epoch. */
  lookAt: number;
};

/**
 * Decides which waiting requests go now, first come first served: one to test the target, then two, four … A
 * target that becomes free seldom has capacity for all of them, and one that has just recovered would fail
 * again. `opensAt`: when a request may go, at or before now if it may; undefined if unknown. Each request for
 * which it returns such a time is woken, because it may have drawn a sample for it.
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
