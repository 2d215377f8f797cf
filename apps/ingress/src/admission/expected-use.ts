import type { Config, ModelConfig } from '@millrace/shared/config';
import { estimateRequest } from '@millrace/shared/cost/estimate';
import { loadedPrice, loadPrices } from '@millrace/shared/cost/loaded-prices';
import { createPrices } from '@millrace/shared/cost/prices';
import type { Prices } from '@millrace/shared/cost/prices';
import type { TokenCounts } from '@millrace/shared/cost/usage';
import { hasMoney } from '@millrace/shared/domain/budget';
import type { Budget } from '@millrace/shared/domain/budget';
import { serveModel, targetsOf } from '@millrace/shared/domain/model-names';
import type { Amounts } from '@millrace/shared/store/budgets/port';

/** Estimates what a request of a key with a budget will use. */
export type ExpectUse = (request: Expected, budget: Budget) => Promise<Amounts>;

/** `model`: as the client asked for it. `createdAt`: milliseconds since the epoch. */
export type Expected = { model: string; body: string; createdAt: number };

export type ExpectUseOptions = {
  /** The config in use: another object after each reload. */
  config(): Pick<Config, 'models' | 'providers'>;
  onError(error: unknown): void;
};

/**
 * The tokens are those of the longest answer that the request allows. The cost is that of the dearest target of the model among those
 * whose price is known, and 0 if none is, or if the budget is in tokens only. The data of known prices is loaded by the
 * first request that needs it.
 */
export function createExpectUse({ config, onError }: ExpectUseOptions): ExpectUse {
  const prices = new WeakMap<object, Prices>();

  function pricesNow(): Prices {
    const current = config();
    let made = prices.get(current);
    if (!made) prices.set(current, (made = createPrices(current, loadedPrice)));
    return made;
  }

  async function dearest(
    targets: ModelConfig['targets'],
    tokens: ReturnType<typeof estimateRequest>,
    at: number,
  ): Promise<number> {
    // Without the data the targets that it knows count as those of unknown price.
    await loadPrices(targets)?.catch(onError);
    const current = pricesNow();
    const highest = (bound: TokenCounts): number =>
      Math.max(0, ...targets.map((target) => current(target, bound, at) ?? 0));
    const { bound } = tokens;
    if (bound.audioInput === 0 && bound.audioOutput === 0) return highest(bound);
    // A price without one for audio is better than none: what the request cost is known afterwards.
    return Math.max(highest(bound), highest({ ...bound, audioInput: 0, audioOutput: 0 }));
  }

  return async (request, budget) => {
    const estimated = estimateRequest(request.body);
    const { input, output } = estimated.bound;
    const served = serveModel(config().models, request.model);
    const targets = served ? targetsOf(served.model.targets, served.rest) : [];
    const cost = hasMoney(budget) ? await dearest(targets, estimated, request.createdAt) : 0;
    return { cost, tokens: input + output };
  };
}
