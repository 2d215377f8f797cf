import { providerFormats } from '@millrace/formats/provider-formats';
import type { Config, TargetConfig } from '@millrace/shared/config';
import {
  loadKnownModels,
  loadedContextWindow,
  loadedPrice,
} from '@millrace/shared/cost/loaded-prices';
import { createPrices } from '@millrace/shared/cost/prices';
import { noTokens } from '@millrace/shared/cost/usage';
import { commonCapabilities } from '@millrace/shared/domain/capabilities';
import type { Capabilities } from '@millrace/shared/domain/capabilities';
import { targetsOf } from '@millrace/shared/domain/model-names';
import type { ServedModel } from '@millrace/shared/domain/model-names';

type Model = Config['models'][string];

/** Billionths of a USD for a thousand tokens of a short prompt, and of its answer. */
export type ListPrice = { input: number; cachedInput: number; output: number };

/** What is known of all targets of a model, one of which will answer. */
export type ModelFacts = {
  capabilities: Capabilities;
  /** The highest of the targets. */
  price: ListPrice | undefined;
};

export type KnownModels = {
  /** Loads what `of` needs; undefined if that is there. Never rejects. */
  load(models: readonly Model[]): Promise<void> | undefined;
  of(served: ServedModel<Model>): ModelFacts;
};

/** Prices change with the time. */
const keptMs = 60_000;

export function createKnownModels(
  config: Pick<Config, 'providers' | 'models'>,
  onError: (error: unknown) => void,
): KnownModels {
  const prices = createPrices(config, loadedPrice);
  /** Of exact aliases. */
  const found = new WeakMap<Model, { facts: ModelFacts; at: number }>();
  const mayBeKnown = ({ targets }: Model): boolean =>
    targets.every(({ provider }) => config.providers[provider]?.simulated === false);

  function capabilitiesOf(target: TargetConfig): Capabilities {
    const { provider: name, model, prefill: said, capabilities } = target;
    const provider = config.providers[name];
    if (!provider) return {};
    const { baseUrl, simulated } = provider;
    const format = providerFormats[provider.api];
    const { prefill, ...known } = (!simulated && format.capabilitiesOf?.(model)) || {};
    return {
      contextWindow: simulated ? undefined : loadedContextWindow(baseUrl, model),
      ...known,
      ...capabilities,
      // Without a word of the config, `false` is what is assumed of an unknown model.
      prefill:
        said !== undefined ? said !== false : format.prefillOf({ baseUrl, model }) ? true : prefill,
    };
  }

  function priceOf(target: TargetConfig): ListPrice | undefined {
    const at = Date.now();
    const input = prices(target, { ...noTokens, input: 1000 }, at);
    const cachedInput = prices(target, { ...noTokens, input: 1000, cached: 1000 }, at);
    const output = prices(target, { ...noTokens, output: 1000 }, at);
    if (input === null || cachedInput === null || output === null) return undefined;
    return { input, cachedInput, output };
  }

  function factsOf({ model, rest }: ServedModel<Model>): ModelFacts {
    const targets = targetsOf(model.targets, rest);
    const known = targets.map(priceOf).filter((price) => price !== undefined);
    const highest = (name: keyof ListPrice) => Math.max(...known.map((price) => price[name]));
    return {
      capabilities: commonCapabilities(targets.map(capabilitiesOf)),
      price:
        known.length === targets.length
          ? {
              input: highest('input'),
              cachedInput: highest('cachedInput'),
              output: highest('output'),
            }
          : undefined,
    };
  }

  return {
    load: (models) => (models.some(mayBeKnown) ? loadKnownModels()?.catch(onError) : undefined),
    of(served) {
      if (served.rest !== undefined) return factsOf(served);
      const kept = found.get(served.model);
      const now = Date.now();
      if (kept && now - kept.at < keptMs) return kept.facts;
      const facts = factsOf(served);
      found.set(served.model, { facts, at: now });
      return facts;
    },
  };
}
