import type { Target } from '@millrace/shared/domain/request';
import type { Health } from './port.ts';

/*
 * Where every target of a model is broken, its breakers are no help in choosing: to ask the best of them
 * serves some requests, to refuse serves none. Envoy calls this a panic threshold; here a target gets no
 * more requests than its success rate deserves.
 */

/** Requests for each one that succeeds: the factor of client-side throttling in Google's SRE book, chapter 21. */
const perSuccess = 2;
/** Below this success rate a target is dead, and only probes ask it. */
const deadBelow = 0.1;
/**
 * A target that comes back is let through by its ramp alone, unless it fails now and then rather than having
 * been dead: from dead, that takes four successes in a row.
 */
const flakyFrom = 0.4;

/** Milliseconds until a request that was refused by its share draws again. */
export const drawAgainMs = 200;

/** The share of requests, 0 to 1, that a broken target may be asked by when no other is left. */
export function panicShare(state: string, successRate: number): number {
  if (state === 'recovering') return successRate < flakyFrom ? 0 : 1;
  return successRate < deadBelow ? 0 : Math.min(1, perSuccess * successRate);
}

/** The same of one target of a model: 0 while any target of the model is well. */
export function panicShareAt(
  health: Pick<Health, 'stateOf' | 'successRate'>,
  targets: readonly Target[],
  target: Target,
): number {
  if (targets.some((one) => health.stateOf(one) === 'closed')) return 0;
  return panicShare(health.stateOf(target), health.successRate(target));
}
