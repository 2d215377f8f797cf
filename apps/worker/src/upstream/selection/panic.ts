import type { Target } from '@millrace/shared/domain/request';
import type { Health } from './port.ts';

/*
 * If every target of a model is broken, breakers do not help to choose: asking the best target serves some
 * requests, refusing all serves none. Envoy calls this a panic threshold; here a target gets only as many
 * requests as its success rate justifies.
 */

/** Requests for each one that succeeds: the factor of client-side throttling in Google's SRE book, chapter 21. */
const perSuccess = 2;
/** Below this success rate a target is dead, and only probes ask it. */
const deadBelow = 0.1;
/**
 * A target that recovers from being dead gets requests by its ramp only; above this success rate it counts as
 * flaky and gets all. From 0, that takes four consecutive successes.
 */
const flakyFrom = 0.4;

/** Milliseconds until a request that was not sampled draws again. */
export const drawAgainMs = 200;

/** The share of requests, 0 to 1, that a broken target may get if no other target is left. */
export function panicShare(state: string, successRate: number): number {
  if (state === 'recovering') return successRate < flakyFrom ? 0 : 1;
  return successRate < deadBelow ? 0 : Math.min(1, perSuccess * successRate);
}

/** The same for one target of a model; 0 while any target of the model is healthy. */
export function panicShareAt(
  health: Pick<Health, 'stateOf' | 'successRate'>,
  targets: readonly Target[],
  target: Target,
): number {
  if (targets.some((one) => health.stateOf(one) === 'closed')) return 0;
  return panicShare(health.stateOf(target), health.successRate(target));
}
