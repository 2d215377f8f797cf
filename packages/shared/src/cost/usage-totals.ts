import { nanosPerUsd } from '../domain/budget.ts';
import type { Prices } from './prices.ts';
import { tokenCounts } from './usage.ts';

/* The tokens and the cost of all attempts of a request, for its line in the log: the same sums that the ledger has. */

export type UsageTotals = {
  input: number;
  cached: number;
  output: number;
  reasoning: number;
  /** Billionths of a USD; null if the price of one of the attempts is unknown here. */
  cost: number | null;
};

export type UsedAttempt = {
  provider: string;
  model: string;
  /** When it started, in milliseconds since the epoch. */
  at: number;
  /** As its end in the log has it. */
  usage?: unknown;
};

export const noUsage = (): UsageTotals => ({
  input: 0,
  cached: 0,
  output: 0,
  reasoning: 0,
  cost: 0,
});

/** Adds an attempt that has ended. Changes `totals`. */
export function addAttempt(totals: UsageTotals, attempt: UsedAttempt, prices: Prices): void {
  const tokens = tokenCounts(attempt.usage);
  totals.input += tokens.input;
  totals.cached += tokens.cached;
  totals.output += tokens.output;
  totals.reasoning += tokens.reasoning;
  const cost = prices(attempt, tokens, attempt.at);
  totals.cost = totals.cost === null || cost === null ? null : totals.cost + cost;
}

/** Fields of a line of the log; the cost in USD. */
export const usageFields = ({ input, cached, output, reasoning, cost }: UsageTotals) => ({
  input_tokens: input,
  cached_tokens: cached,
  output_tokens: output,
  reasoning_tokens: reasoning,
  cost: cost === null ? null : cost / nanosPerUsd,
});
