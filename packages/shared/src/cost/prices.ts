import type { Config, TargetConfig } from '../config.ts';
import { nanosPerUsd } from '../domain/budget.ts';
import { configuredTarget, isPattern } from '../domain/model-names.ts';
import { targetKey } from '../domain/target-key.ts';
import { maxTokens } from './usage.ts';
import type { TokenCounts } from './usage.ts';

type Target = { provider: string; model: string };

/**
 * Billionths of a USD for these tokens at the time `at` (milliseconds since the epoch), rounded to a whole number; null if
 * the price is unknown, also of a part of the tokens.
 */
export type Prices = (target: Target, tokens: TokenCounts, at: number) => number | null;

/** The price of tokens at the provider with this base URL, as in `Prices`: `knownPrice` in known-prices.ts. */
export type KnownPrice = (
  baseUrl: string,
  model: string,
  tokens: TokenCounts,
  at: number,
) => number | null;

const million = 1e6;

/** A target's `price` in the config, else the price by `known`, which this module does not import: its data takes 20 MB. */
export function createPrices(
  { models, providers }: Pick<Config, 'models' | 'providers'>,
  known: KnownPrice,
): Prices {
  /** Undefined: an exact target without a price, which has none of a wildcard's. */
  const configured = new Map<string, TargetConfig['price']>();
  const patterns: TargetConfig[] = [];
  for (const { targets } of Object.values(models)) {
    for (const target of targets) {
      const key = targetKey(target);
      if (isPattern(target.model)) patterns.push(target);
      else configured.set(key, target.price ?? configured.get(key));
    }
  }
  return (target, tokens, at) => {
    if (tokens.input === 0 && tokens.output === 0) return 0;
    if (tokens.input >= maxTokens || tokens.output >= maxTokens) return null;
    const key = targetKey(target);
    const own = configured.has(key)
      ? configured.get(key)
      : configuredTarget(patterns, target)?.price;
    if (own) return configuredPrice(own, tokens);
    const baseUrl = providers[target.provider]?.baseUrl;
    return baseUrl === undefined ? null : known(baseUrl, target.model, tokens, at);
  };
}

/**
 * Prices are per million tokens. Cache reads without a price of their own cost as much as other input, and so do cache
 * writes. Audio has no configured price.
 */
function configuredPrice(
  price: NonNullable<TargetConfig['price']>,
  { input, cached, output, audioInput, audioOutput }: TokenCounts,
): number | null {
  if (audioInput > 0 || audioOutput > 0) return null;
  // A provider may count cached tokens beside the others.
  const uncached = Math.max(0, input - cached);
  const { input: inputPrice, cachedInput = inputPrice, output: outputPrice } = price;
  const usd = uncached * inputPrice + cached * cachedInput + output * outputPrice;
  return Math.round((usd / million) * nanosPerUsd);
}
