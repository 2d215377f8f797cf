import type { ModelConfig } from '@millrace/shared/config';
import { estimateCost, estimateRequest } from '@millrace/shared/cost/estimate';
import type { Prices } from '@millrace/shared/cost/prices';
import { inUsd } from '@millrace/shared/cost/usd';
import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';

type Capped = {
  model: string;
  body: string;
  /** In billionths of a USD. */
  maxCost: number;
};

/**
 * Refuses a request that may cost more than its cap at every target of its model, or whose price is unknown at all of them.
 * A target of unknown price is not within any cap. `at`: milliseconds since the epoch.
 */
export function capVerdict(
  { model, body, maxCost }: Capped,
  { targets }: Pick<ModelConfig, 'targets'>,
  prices: Prices,
  at: number,
): Refused | undefined {
  const tokens = estimateRequest(body);
  const bounds = targets
    .map((target) => estimateCost(prices, target, tokens, at).bound)
    .filter((bound) => bound !== null);
  if (bounds.length === 0) return refuse('price_unknown', { model });
  const lowest = Math.min(...bounds);
  if (lowest <= maxCost) return undefined;
  const { input, output } = tokens.bound;
  return refuse('max_cost_exceeded', {
    cap: inUsd(maxCost),
    estimate: inUsd(lowest),
    input,
    output,
    isBounded: tokens.isBounded,
  });
}
