import { readAnswerLimit, tokensInJson, usualAnswer } from '../domain/tokens.ts';
import type { Prices } from './prices.ts';
import { maxTokens, noTokens } from './usage.ts';
import type { TokenCounts } from './usage.ts';

/*
 * What a request will use and cost, before it is sent. The prompt is estimated without a tokenizer (domain/tokens.ts), so
 * its count of text may be wrong by a factor of up to 1.75, and an image or a file counts the same whatever its size. What
 * providers charge beside tokens, as for each web search, is not counted.
 */

/** `expected` orders targets; `bound` is for a cap and for the reservation of a budget. */
export type Estimated<T> = {
  /** Usual answers: `usualAnswer` tokens each, or `max_tokens` if that is less. An answer may well be longer. */
  readonly expected: T;
  /**
   * The longest answers that the request allows: `max_completion_tokens`, else `max_tokens`, for each of its `n` answers. It is
   * an upper bound of the output, on top of the estimated prompt. A request without `max_tokens` has no bound (`isBounded`
   * is false): then it equals `expected`.
   */
  readonly bound: T;
  readonly isBounded: boolean;
};

/**
 * The tokens of a request with this body, in the inner form. The expected ones have none that are read from a prompt cache,
 * or written to it. If the body marks a part of its prompt for a cache, the bound has the whole prompt written to it for as
 * long as the body asks, which costs most. If the prompt has audio, all of it counts as audio, and so do the answers if the
 * body asks for audio: its price is not that of text.
 */
export function estimateRequest(body: string): Estimated<TokenCounts> {
  const { longest, answers } = readAnswerLimit(body);
  const input = count(tokensInJson(body));
  const usual = count(Math.min(longest ?? usualAnswer, usualAnswer) * answers);
  const most = count((longest ?? usualAnswer) * answers);
  const isWritten = body.includes('"cache_control"');
  const counts = (output: number): TokenCounts => ({
    ...noTokens,
    input,
    output,
    audioInput: hasAudio.test(body) ? input : 0,
    audioOutput: asksForAudio.test(body) ? output : 0,
  });
  return {
    expected: counts(usual),
    bound: {
      ...counts(most),
      cacheWritten: isWritten ? input : 0,
      cacheWrittenForHour: isWritten && writesForHour.test(body) ? input : 0,
    },
    isBounded: longest !== undefined,
  };
}

/* Inside of a JSON text the quotation marks of these names would be escaped. */
const hasAudio = /"type"\s*:\s*"input_audio"/;
const asksForAudio = /"modalities"\s*:\s*\[[^\]]*"audio"/;
const writesForHour = /"ttl"\s*:\s*"1h"/;

/** Below the count that no price is known for. */
const count = (tokens: number): number => Math.min(Math.ceil(tokens), maxTokens - 1);

/**
 * What a request costs at a target at the time `at` (milliseconds since the epoch), in billionths of a USD; null where the price
 * is unknown.
 */
export function estimateCost(
  prices: Prices,
  target: { provider: string; model: string },
  { expected, bound, isBounded }: Estimated<TokenCounts>,
  at: number,
): Estimated<number | null> {
  return {
    expected: prices(target, expected, at),
    bound: prices(target, bound, at),
    isBounded,
  };
}
