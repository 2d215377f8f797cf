/**
 * How often a target has answered lately, whatever its breaker makes of it: a first token is a success. It
 * weighs calls and no time, so that a target that is asked rarely is not taken for well by its silence.
 */
export type SuccessRate = {
  add(successes: number, failures: number): void;
  /** Another worker found the target broken: where nothing is known of it, that counts as one failure. */
  doubt(): void;
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
    // Of the calls there were: one that never succeeded has earned nothing.
    read: () => (weight > 0 ? good / weight : 1),
  };
}
