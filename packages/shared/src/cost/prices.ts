import { calcPrice, findProvider } from '@pydantic/genai-prices';
import type { Config, TargetConfig } from '../config.ts';
import { targetKey } from '../domain/target-key.ts';
import { maxTokens } from './usage.ts';
import type { TokenCounts } from './usage.ts';

type Target = { provider: string; model: string };

/**
 * Billionths of a USD for these tokens at the time `at` (milliseconds since the epoch), rounded to a whole number; null if
 * the price is unknown, also of a part of the tokens.
 */
export type Prices = (target: Target, tokens: TokenCounts, at: number) => number | null;

const billion = 1e9;
const million = 1e6;

/**
 * A target's `price` in the config, else the price that `@pydantic/genai-prices` knows of the provider at this base URL. A
 * provider at another URL has no known price, even for a model of a known name: gateways and resellers charge their own.
 */
export function createPrices({ models, providers }: Pick<Config, 'models' | 'providers'>): Prices {
  const configured = new Map<string, NonNullable<TargetConfig['price']>>();
  for (const { targets } of Object.values(models)) {
    for (const { provider, model, price } of targets) {
      if (price) configured.set(targetKey({ provider, model }), price);
    }
  }
  return (target, tokens, at) => {
    if (tokens.input === 0 && tokens.output === 0) return 0;
    if (tokens.input >= maxTokens || tokens.output >= maxTokens) return null;
    const own = configured.get(targetKey(target));
    if (own) return configuredPrice(own, tokens);
    const baseUrl = providers[target.provider]?.baseUrl;
    return baseUrl === undefined ? null : knownPrice(baseUrl, target.model, tokens, at);
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
  return Math.round((usd / million) * billion);
}

/** Where the data has no price for audio, the library charges it as text, which costs a tenth. */
function hasPricesOf(usage: Readonly<Record<string, number>>, prices: object): boolean {
  return ['input_audio', 'output_audio'].every(
    (unit) => !(`${unit}_tokens` in usage) || `${unit}_mtok` in prices,
  );
}

function knownPrice(
  baseUrl: string,
  model: string,
  tokens: TokenCounts,
  at: number,
): number | null {
  const provider = findProvider({ providerApiUrl: baseUrl });
  if (!provider) return null;
  const usage = {
    input_tokens: tokens.input,
    output_tokens: tokens.output,
    ...(tokens.cached > 0 && { cache_read_tokens: tokens.cached }),
    ...(tokens.cacheWritten > 0 && { cache_write_tokens: tokens.cacheWritten }),
    ...(tokens.cacheWrittenForHour > 0 && { cache_write_1h_tokens: tokens.cacheWrittenForHour }),
    ...(tokens.audioInput > 0 && { input_audio_tokens: tokens.audioInput }),
    ...(tokens.audioOutput > 0 && { output_audio_tokens: tokens.audioOutput }),
  };
  try {
    const price = calcPrice(usage, model, { provider, timestamp: new Date(at) });
    if (!price || !hasPricesOf(usage, price.model_price)) return null;
    return Math.round(price.total_price * billion);
  } catch {
    // It throws on counts that contradict each other, as a provider may report them.
    return null;
  }
}
