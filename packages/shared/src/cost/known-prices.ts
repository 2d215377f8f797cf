import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { nanosPerUsd } from '../domain/budget.ts';
import type { KnownPrice } from './prices.ts';

/** Where the data has no price for audio, the library charges it as text, which costs a tenth. */
function hasPricesOf(usage: Readonly<Record<string, number>>, prices: object): boolean {
  return ['input_audio', 'output_audio'].every(
    (unit) => !(`${unit}_tokens` in usage) || `${unit}_mtok` in prices,
  );
}

type Provider = ReturnType<typeof findProvider>;

/** By base URL, of which a config has few: finding one tries the patterns of every provider. */
const found = new Map<string, Provider>();

function providerAt(baseUrl: string): Provider {
  if (!found.has(baseUrl)) found.set(baseUrl, findProvider({ providerApiUrl: baseUrl }));
  return found.get(baseUrl);
}

/** The context window of the model at this base URL, in tokens. */
export function knownContextWindow(baseUrl: string, model: string): number | undefined {
  const provider = providerAt(baseUrl);
  if (!provider) return undefined;
  try {
    const price = calcPrice({ input_tokens: 0, output_tokens: 0 }, model, { provider });
    return price?.model.context_window;
  } catch {
    return undefined;
  }
}

/**
 * The price that `@pydantic/genai-prices` knows of the provider at this base URL. A provider at another URL has no known
 * price, even for a model of a known name: gateways and resellers charge their own.
 */
export const knownPrice: KnownPrice = (baseUrl, model, tokens, at) => {
  const provider = providerAt(baseUrl);
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
    return Math.round(price.total_price * nanosPerUsd);
  } catch {
    // It throws on counts that contradict each other, as a provider may report them.
    return null;
  }
};
