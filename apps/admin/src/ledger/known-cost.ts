/**
 * The sum of the costs that are known, in billionths of a USD; null if it is unknown: no request that used tokens has a known
 * price. A request without tokens costs 0 at any price, so it alone makes no sum. `unpriced`: requests of unknown price.
 */
export const knownCost = (sum: number | null, unpriced: number): number | null =>
  sum === 0 && unpriced > 0 ? null : sum;
