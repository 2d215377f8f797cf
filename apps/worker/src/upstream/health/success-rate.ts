/**
 * The rate of a target's recent calls that were answered, whatever its breaker's state: a first token is a
 * success. It is weighted by calls, not by time, so that the rate of a target with few calls does not recover
 * by itself.
 */
export type SuccessRate = {
  add(successes: number, failures: number): void;
  /** Another worker found the target broken: counts as one failure if there are no calls yet. */
  doubt(): void;
  /** 0 to 1; 1 while there are no calls. */
  read(): number;
};

/**
 * The weight of the newest call. A healthy target that dies is at 0.1 after 14 failures; one that fails every
 * other time gets there once in a thousand calls.
 */
const newest = 0.15;

export function createSuccessRate(): SuccessRate {
  let good = 0;
  let weight = 0;
  function add(successes: number, failures: number): void {
    const calls = successes + failures;
    if (calls === 0) return;
    const kept = (1 - newest) ** calls;
    good = good * kept + (successes / calls) * (1 - kept);
    weight = weight * kept + (1 - kept);
  }
  return {
    add,
    doubt() {
      if (weight === 0) add(0, 1);
    },
    // Relative to the weight so far, so that a target without a success is at 0.
    read: () => (weight > 0 ? good / weight : 1),
  };
}
