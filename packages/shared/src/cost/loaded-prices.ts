import type { ModelConfig } from '../config.ts';
import type { KnownPrice } from './prices.ts';

/*
 * For ingresses and workers: the data of known-prices.ts takes memory and time, so they load it when a request or
 * a config needs it (docs/decisions/2026-11-30-cost-routing.md).
 */

let loaded: typeof import('./known-prices.ts') | undefined;
let loading: Promise<void> | undefined;

/** The known price, for `createPrices`; null until `loadPrices` has resolved. */
export const loadedPrice: KnownPrice = (...asked) => loaded?.knownPrice(...asked) ?? null;

/** Tokens of the model of the provider at this base URL; undefined if it is unknown, and until `loadKnownModels` has resolved. */
export const loadedContextWindow = (baseUrl: string, model: string): number | undefined =>
  loaded?.knownContextWindow(baseUrl, model);

/**
 * Loads what the prices of these targets need: nothing if each has a `price` in the config. Undefined if all is there. Rejects
 * if the data cannot be loaded; the next call tries again.
 */
export function loadPrices(
  targets: readonly Pick<ModelConfig['targets'][number], 'price'>[],
): Promise<void> | undefined {
  return targets.every(({ price }) => price !== undefined) ? undefined : loadKnownModels();
}

/** Loads the data of all models. Undefined if it is there. Rejects if it cannot be loaded; the next call tries again. */
export function loadKnownModels(): Promise<void> | undefined {
  if (loaded) return undefined;
  loading ??= load().finally(() => {
    loading = undefined;
  });
  return loading;
}

async function load(): Promise<void> {
  loaded = await import('./known-prices.ts');
}
