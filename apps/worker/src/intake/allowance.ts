/**
 * How many requests of one model a worker takes ahead of their turn when the model's targets lack only
 * capacity. Those wait in the worker; the others stay in the queue, where they are durable, in fair order and
 * visible to operators. Additive increase, multiplicative decrease: a request that soon gets to a target
 * indicates room for more.
 */
export type Allowance = {
  readonly size: number;
  /** When it last shrank: waits that began before say nothing about the new size. */
  readonly cutAt: number;
};

/** A wait for a target that has ended. Times in milliseconds since the epoch. */
export type EndedWait = {
  since: number;
  at: number;
  /** The request got to a target; otherwise its time to wait was over. */
  through: boolean;
  /** As many requests waited as allowed, so a larger allowance would have been used. */
  wasFull: boolean;
  /** The longest permitted wait in milliseconds (`models.*.maxWait`). */
  maxWaitMs: number;
};

/** One request always waits here: without it this worker would not notice that a target has room again. */
const smallest = 1;
/** Every request that waits in a worker when it dies needs a takeover. */
const largest = 64;
/**
 * Milliseconds of a short wait. Rate limits slide by the second, so the requests that get through within one
 * second are what the target takes from this worker in a second, and that many are worth having at hand.
 */
const shortMs = 1000;

export const newAllowance: Allowance = { size: smallest, cutAt: -Infinity };

export function afterWait(
  { size, cutAt }: Allowance,
  { since, at, through, wasFull, maxWaitMs }: EndedWait,
): Allowance {
  const waitedMs = at - since;
  // A quarter: if a request waited less than that, the last one in a queue twice as long still gets through
  // in time.
  const isLong = !through || waitedMs >= maxWaitMs / 4;
  if (isLong) {
    if (since < cutAt) return { size, cutAt };
    return { size: Math.max(smallest, Math.floor(size / 2)), cutAt: at };
  }
  const isShort = waitedMs <= Math.min(shortMs, maxWaitMs / 8);
  return { size: isShort && wasFull ? Math.min(largest, size + 1) : size, cutAt };
}
