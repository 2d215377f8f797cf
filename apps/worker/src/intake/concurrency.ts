/**
 * The average delay of the event loop that is accepted, in milliseconds. It delays the next token of every
 * stream: a fast model sends one every 20 ms, so at this value a reader waits as long for the loop as for the
 * model. A loop with a delay has no idle time left: more runs make its turns longer and get no more work
 * done.
 */
export const targetLateMs = 20;
/**
 * The limit of an idle worker, and the lowest one: 64 streams take a few percent of a loop's time, so they do
 * not cause the delay.
 */
export const minConcurrency = 64;
/**
 * The largest factor by which one look changes the limit, up or down: a faster growth could not be stopped in
 * time.
 */
const mostChange = 2;

export type LoopLoad = {
  /** Mean delay of the event loop since the last look, in milliseconds. */
  lateMs: number;
  /** Runs under way at the busiest moment since the last look, without those that wait for a target. */
  running: number;
  /** The upper bound of the limit (`limits.workerConcurrency`). */
  ceiling: number;
  /** Slots that the jobs of a dead worker need now, whatever the delay, because their readers wait. 0: none. */
  summoned: number;
};

/**
 * The concurrency limit until the next look: the number of runs, times a factor that compares the loop's
 * delay with its target. The function keeps no state: earlier decisions count only through the runs that they
 * let in, so a single bad measurement (a garbage collection) affects one look, and errors do not accumulate.
 */
export function concurrencyLimit({ lateMs, running, ceiling, summoned }: LoopLoad): number {
  // The fourth root, because near saturation the delay grows several times as fast as the number of runs, and
  // a run that was taken too many stays as long as its answer takes.
  const left = (targetLateMs / lateMs) ** (1 / 4);
  const factor = Math.min(mostChange, Math.max(1 / mostChange, left));
  return Math.min(ceiling, Math.max(minConcurrency, summoned, Math.ceil(running * factor)));
}
