/**
 * How many requests of one model a worker takes ahead of their turn, while all that the model's targets
 * lack is room: so many wait in the worker's own line, and the others in the queue, where they
 * are safe, in fair order and seen. Additive increase, multiplicative decrease: what gets through
 * soon says that more of them would too.
 */
export type Allowance = {
  readonly size: number;
  /** When it shrank last: what sat down before tells nothing about the size since. */
  readonly cutAt: number;
};

/** One that waited in the line, and left it. Times in milliseconds since the epoch. */
export type EndedWait = {
  since: number;
  at: number;
  /** It got through to a target; else its patience ended. */
  through: boolean;
  /** The line was as long as allowed: a longer one would have been used. */
  wasFull: boolean;
  /** Milliseconds that one may wait in all (`models.*.maxWait`). */
  maxWaitMs: number;
};

/** One is always asked: who would hear else that a target has room again? */
const smallest = 1;
/** A worker that dies takes so many waiting ones along, and each costs its takeover. */
const largest = 64;
/**
 * Milliseconds of a short wait: what gets through in one second is as much as the target takes of this
 * worker in a second, and that is what is worth having at hand (limits slide by the second).
 */
const shortMs = 1000;

export const newAllowance: Allowance = { size: smallest, cutAt: -Infinity };

export function afterWait(
  { size, cutAt }: Allowance,
  { since, at, through, wasFull, maxWaitMs }: EndedWait,
): Allowance {
  const waitedMs = at - since;
  // A quarter: behind one that waited so long, those of a line as long again still get through in time.
  const isLong = !through || waitedMs >= maxWaitMs / 4;
  if (isLong) {
    if (since < cutAt) return { size, cutAt };
    return { size: Math.max(smallest, Math.floor(size / 2)), cutAt: at };
  }
  const isShort = waitedMs <= Math.min(shortMs, maxWaitMs / 8);
  return { size: isShort && wasFull ? Math.min(largest, size + 1) : size, cutAt };
}
