/** Milliseconds between two steps of waking. */
export const paceMs = 20;
/** Milliseconds until it is looked again, where nobody knows when a target may be asked. */
const pollMs = 1000;
/** Requests that one step wakes at most. */
const longestStep = 64;

export type Waiter = {
  /** Milliseconds since the epoch before which it cannot go: it is too large for what is left. */
  notBefore: number;
};

export type Plan<T> = {
  wake: readonly T[];
  /** What the next step may wake, if those that were woken do not come back. */
  step: number;
  /** When to look again, in milliseconds since the epoch. */
  lookAt: number;
};

/**
 * Who of the waiting goes now, first come first: one to see whether it gets through, then two, four …
 * What opens is seldom open for all of them, and a target that has just come back would be thrown down again.
 * `opensAt`: when a target may be asked, at or before now when one may; undefined when nobody knows.
 */
export function planWake<T extends Waiter>(
  waiting: readonly T[],
  { opensAt, step, now }: { opensAt: number | undefined; step: number; now: number },
): Plan<T> {
  const open = opensAt ?? now + pollMs;
  if (open > now) return { wake: [], step: 1, lookAt: open };
  const wake = waiting.filter(({ notBefore }) => notBefore <= now).slice(0, step);
  if (wake.length === 0) {
    const soonest = Math.min(...waiting.map(({ notBefore }) => notBefore));
    return { wake, step: 1, lookAt: Math.max(soonest, now + paceMs) };
  }
  return { wake, step: Math.min(longestStep, step * 2), lookAt: now + paceMs };
}
