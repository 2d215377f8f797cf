/** Of recent requests, how many may have a second attempt started beside a slow first one. */
const share = 0.05;
/** Hedges that may come at once after a quiet time: one slow provider makes many at a time. */
const burst = 10;

/**
 * Bounds what hedging costs: every request earns a share of a hedge, and each one spends a whole. When
 * a provider is slow as a whole, doubling its requests would only make others slow too.
 */
export function createHedgeBudget() {
  let saved = burst;
  return {
    /** A request began. */
    earn(): void {
      saved = Math.min(burst, saved + share);
    },
    /** True when one more may start now. */
    take(): boolean {
      if (saved < 1) return false;
      saved -= 1;
      return true;
    },
    /** One that was taken did not start. */
    giveBack(): void {
      saved = Math.min(burst, saved + 1);
    },
  };
}
