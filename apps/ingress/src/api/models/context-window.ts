import type { Config } from '@millrace/shared/config';
import { loadKnownModels, loadedContextWindow } from '@millrace/shared/cost/loaded-prices';
import { targetsOf } from '@millrace/shared/domain/model-names';
import type { ServedModel } from '@millrace/shared/domain/model-names';

type Model = Config['models'][string];

export type ContextWindows = {
  /** Loads what `of` needs; undefined if that is there. Never rejects. */
  load(models: readonly Model[]): Promise<void> | undefined;
  /** The smallest window of the targets, one of which will answer; undefined unless all are known. */
  of(served: ServedModel<Model>): number | undefined;
};

export function createContextWindows(
  config: Pick<Config, 'providers'>,
  onError: (error: unknown) => void,
): ContextWindows {
  /** Of exact aliases. */
  const found = new WeakMap<Model, { window: number | undefined }>();
  const mayBeKnown = ({ targets }: Model): boolean =>
    targets.every(({ provider }) => config.providers[provider]?.simulated === false);

  function windowOf({ model, rest }: ServedModel<Model>): number | undefined {
    const windows = targetsOf(model.targets, rest).map(({ provider, model: name }) =>
      loadedContextWindow(config.providers[provider]?.baseUrl ?? '', name),
    );
    const known = windows.filter((window) => window !== undefined);
    return known.length > 0 && known.length === windows.length ? Math.min(...known) : undefined;
  }

  return {
    load: (models) => (models.some(mayBeKnown) ? loadKnownModels()?.catch(onError) : undefined),
    of(served) {
      const { model, rest } = served;
      if (!mayBeKnown(model)) return undefined;
      if (rest !== undefined) return windowOf(served);
      let kept = found.get(model);
      if (!kept) found.set(model, (kept = { window: windowOf(served) }));
      return kept.window;
    },
  };
}
