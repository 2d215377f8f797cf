/** The share of requests that may have a hedge. */
const share = 0.05;
/** The most hedges at once after a quiet time: one slow provider causes many together. */
const burst = 10;

/**
 * Bounds the cost of hedging: every request earns a share of a hedge, and each hedge spends a whole one. If a
 * provider is slow as a whole, doubling its requests would only slow down others.
 */
export function createHedgeBudget() {
  let saved = burst;
  return {
    /** A request began. */
    earn(): void {
      saved = Math.min(burst, saved + share);
    },
    /** Takes one hedge; false if there is none. */
    take(): boolean {
      if (saved < 1) return false;
      saved -= 1;
      return true;
    },
    /** Returns a hedge that did not start. */
    giveBack(): void {
      saved = Math.min(burst, saved + 1);
    },
  };
}
