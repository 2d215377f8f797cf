import type { ModelConfig } from '@millrace/shared/config';
import type { Target } from '@millrace/shared/domain/request';
import type { Choice, TargetView } from './port.ts';
import { rendezvous } from './sticky.ts';

/** What a strategy needs of the request that it orders the targets for. */
export type RequestView = {
  /** Expected cost of the request at a target, in billionths of a USD; null if its price is unknown. */
  costAt(target: Target): number | null;
  /** The sticky value of the request, if it has one. */
  sticky: string | undefined;
};

/** Returns the targets in the order in which a request tries them. Does not modify its arguments. */
export type Strategy = <T extends Choice>(
  targets: readonly T[],
  view: TargetView,
  request: RequestView,
) => T[];

/** The share of requests with which `latency` measures the other targets. */
const lookShare = 0.08;
/** The share of its requests that may go to a target without a measurement while others have one. */
const unknownShare = 0.1;

/**
 * One per model and worker, because some keep state. `random`: between 0 and 1.
 * docs/decisions/2026-11-20-target-selection.md explains the strategies.
 */
export function createStrategy(kind: ModelConfig['strategy'], random: () => number): Strategy {
  return makers[kind](random);
}

const makers: Record<ModelConfig['strategy'], (random: () => number) => Strategy> = {
  failover: () => (targets) => [...targets],

  'round-robin'(random) {
    // A random start, so that workers that started together are not in step.
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
      // One request measures the target; concurrent ones need not wait for it.
      const untried = shuffled(
        unknown.filter((target) => view.inFlight(target) === 0),
        random,
      )[0];
      if (untried && draw < unknownShare) return first(untried, [...known, ...unknown]);
      // In turns instead of at random, so that each is measured equally often.
      const [, ...others] = known;
      const other = others[looks % Math.max(1, others.length)];
      if (other && draw >= 1 - lookShare) {
        looks += 1;
        return first(other, [...known, ...unknown]);
      }
      return [...known, ...unknown];
    };
  },

  // Requests with one sticky value share a prompt cache, so equal targets are not drawn for them.
  cheapest: (random) => (targets, _view, request) =>
    byCost(
      request.sticky === undefined
        ? byWeight(targets, random)
        : rendezvous(targets, request.sticky),
      request.costAt,
    ),
};

/** The cheapest first, and those of unknown price last; equal ones stay in their order. */
export const byCost = <T extends Target>(
  targets: readonly T[],
  costAt: RequestView['costAt'],
): T[] => by(targets, (target) => costAt(target) ?? Infinity);

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

/** Ascending and stable. */
function by<T>(targets: readonly T[], value: (target: T) => number): T[] {
  return (
    targets
      .map((target) => ({ target, value: value(target) }))
      // Not by the difference: Infinity less itself is not a number.
      .sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0))
      .map(({ target }) => target)
  );
}
