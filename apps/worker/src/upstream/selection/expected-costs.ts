import { estimateRequest } from '@millrace/shared/cost/estimate';
import type { Prices } from '@millrace/shared/cost/prices';
import type { TokenCounts } from '@millrace/shared/cost/usage';
import type { Target } from '@millrace/shared/domain/request';

export type ExpectedCostsOptions = {
  /** The request, as its client sent it. */
  body: string;
  /** Estimated tokens of the answer that were delivered: the next target gets them with its prompt, and sends the rest. */
  delivered?: number;
  /** The part of the prompt that a target has in its cache, 0 to 1. */
  cachedAt(target: Target): number;
  prices: Prices;
  now(): number;
};

/**
 * The expected cost of a request at a target, in billionths of a USD; null if its price is unknown. The body is read at the
 * first call.
 */
export function expectedCosts(options: ExpectedCostsOptions) {
  const { body, delivered = 0, cachedAt, prices, now } = options;
  let tokens: TokenCounts | undefined;
  return (target: Target): number | null => {
    tokens ??= expectedTokens(body, Math.ceil(delivered));
    const cached = Math.floor(tokens.input * cachedAt(target));
    return prices(target, { ...tokens, cached }, now());
  };
}

function expectedTokens(body: string, delivered: number): TokenCounts {
  const { expected } = estimateRequest(body);
  // Some rest is left, however long the answer is already.
  const output = Math.max(expected.output - delivered, Math.min(leastRest, expected.output));
  return { ...expected, input: expected.input + delivered, output };
}

/** Tokens that are left of an answer which is longer than expected. */
const leastRest = 100;
