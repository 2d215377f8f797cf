import type { ModelConfig } from '@millrace/shared/config';
import type { Target } from '@millrace/shared/domain/request';
import type { TargetView } from './port.ts';

export type Choice = Target & { weight: number };

/** Puts the targets in the order in which a request tries them. Does not change what it is given. */
export type Strategy = <T extends Choice>(targets: readonly T[], view: TargetView) => T[];

/** Of `latency`'s requests, how many look how the other targets do. */
const lookShare = 0.08;
/** Of its requests, how many may go to an unknown target, while others are known. */
const unknownShare = 0.1;

/**
 * One per model and worker: some keep a place. `random`: between 0 and 1. What the strategies need is in
 * docs/decisions/2026-11-20-target-selection.md.
 */
export function createStrategy(kind: ModelConfig['strategy'], random: () => number): Strategy {
  return makers[kind](random);
}

const makers: Record<ModelConfig['strategy'], (random: () => number) => Strategy> = {
  failover: () => (targets) => [...targets],

  'round-robin'(random) {
    // Workers that began together do not march in step.
    let turn = Math.floor(random() * 1_000_000);
    return (targets) => startingAt(targets, turn++);
  },

  weighted: (random) => (targets) => byWeight(targets, random),

  'least-loaded': (random) => (targets, view) =>
    by(shuffled(targets, random), (target) => view.inFlight(target)),

  latency(random) {
    let looks = Math.floor(random() * 1_000_000);
    return (targets, view) => {
      const unknown = targets.filter((target) => view.firstTokenMs(target) === undefined);
      const known = by(
        targets.filter((target) => view.firstTokenMs(target) !== undefined),
        (target) => view.firstTokenMs(target) ?? 0,
      );
      if (known.length === 0) return by(shuffled(unknown, random), (one) => view.inFlight(one));
      const draw = random();
      // One request finds out; those that come meanwhile need not wait with it.
      const untried = shuffled(
        unknown.filter((target) => view.inFlight(target) === 0),
        random,
      )[0];
      if (untried && draw < unknownShare) return first(untried, [...known, ...unknown]);
      // By turns and not by chance: each is seen as often as the others.
      const [, ...others] = known;
      const other = others[looks % Math.max(1, others.length)];
      if (other && draw >= 1 - lookShare) {
        looks += 1;
        return first(other, [...known, ...unknown]);
      }
      return [...known, ...unknown];
    };
  },
};

function startingAt<T>(targets: readonly T[], turn: number): T[] {
  const from = targets.length === 0 ? 0 : turn % targets.length;
  return [...targets.slice(from), ...targets.slice(0, from)];
}

/** Ordered by exponential waits with the weight as their rate (Efraimidis and Spirakis). */
function byWeight<T extends Choice>(targets: readonly T[], random: () => number): T[] {
  return by(targets, ({ weight }) => -Math.log(1 - random()) / weight);
}

const shuffled = <T>(targets: readonly T[], random: () => number): T[] =>
  by(targets, () => random());

const first = <T>(one: T, all: readonly T[]): T[] => [one, ...all.filter((other) => other !== one)];

/** In ascending order; equals stay in theirs. */
function by<T>(targets: readonly T[], value: (target: T) => number): T[] {
  return targets
    .map((target) => ({ target, value: value(target) }))
    .sort((a, b) => a.value - b.value)
    .map(({ target }) => target);
}
