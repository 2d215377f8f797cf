/**
 * Milliseconds that the event loop may be late on average. What is late is everybody's next token: a fast
 * model sends one in 20 ms, so a reader waits for a loop that is as late as that as long as for the model.
 * A loop that is late at all has no idle moment left: beyond this, more runs bring longer turns and no
 * more work done.
 */
export const targetLateMs = 20;
/**
 * The places of a worker that does nothing, or whose loop is late whatever it does: 64 streams are a few
 * percent of a loop's time, so what makes it late then is none of them.
 */
export const minConcurrency = 64;
/** What one look may change at most, either way: doubling is as fast a start as can still be stopped. */
const mostChange = 2;

export type LoopLoad = {
  /** Milliseconds, the mean since the last look. */
  lateMs: number;
  /** Runs under way at the busiest moment since the last look, without those that wait for a target. */
  running: number;
  /** Never more than this (`limits.workerConcurrency`). */
  ceiling: number;
  /** Room that is needed now, late or not: a dead worker's readers wait. 0: none. */
  summoned: number;
};

/**
 * How many runs may be under way until the next look: as many as there are, times what the loop has
 * left. There is no memory in it: what was decided before is seen only by the runs that came of it, so that
 * one bad moment (garbage is collected) costs one look, and errors do not add up.
 */
export function concurrencyLimit({ lateMs, running, ceiling, summoned }: LoopLoad): number {
  // The fourth root: near its end a loop's turns grow several times as fast as the runs that share them, and
  // what was taken too much stays for as long as an answer takes.
  const left = (targetLateMs / lateMs) ** (1 / 4);
  const factor = Math.min(mostChange, Math.max(1 / mostChange, left));
  return Math.min(ceiling, Math.max(minConcurrency, summoned, Math.ceil(running * factor)));
}
