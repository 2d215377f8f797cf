/**
 * How often a target has answered lately, whatever its breaker makes of it: a first token is a success. It
 * weighs calls and no time, so that a target that is asked rarely is not taken for well by its silence.
 */
export type SuccessRate = {
  add(successes: number, failures: number): void;
  /** 0 to 1; 1 while nothing is known. */
  read(): number;
};

/**
 * What the newest call weighs. A target that was well and dies is at 0.1 after 14 failures; one that fails
 * every other time comes there once in a thousand calls.
 */
const newest = 0.15;

export function createSuccessRate(): SuccessRate {
  let good = 0;
  let weight = 0;
  return {
    add(successes, failures) {
      const calls = successes + failures;
      if (calls === 0) return;
      const kept = (1 - newest) ** calls;
      good = good * kept + (successes / calls) * (1 - kept);
      weight = weight * kept + (1 - kept);
    },
    // Of the calls there were: one that never succeeded has earned nothing.
    read: () => (weight > 0 ? good / weight : 1),
  };
}
