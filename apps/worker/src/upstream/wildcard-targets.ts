import type { ModelConfig } from '@millrace/shared/config';
import { configuredTarget, isPattern } from '@millrace/shared/domain/model-names';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';

/*
 * Which target keeps the state (breaker, keys, counts) of one that a wildcard serves. Clients can invent any number of names, so
 * a name has state of its own only after the provider has begun an answer for it: providers have few models. Until then all names
 * share the state of the wildcard's target, `openai/*`.
 */

/** Models of one provider with a state of their own; later ones share that of their wildcard. */
export const mostKept = 256;

export type WildcardTargetsOptions = {
  /** As they are at each call. */
  models(): Readonly<Record<string, ModelConfig>>;
  /** A target has a state of its own from now on. */
  onKept?(target: Target): void;
};

export type WildcardTargets = ReturnType<typeof createWildcardTargets>;

export function createWildcardTargets({ models, onKept }: WildcardTargetsOptions) {
  const kept = new Map<string, Set<string>>();
  let known: ReturnType<typeof readModels> | undefined;

  function current() {
    const now = models();
    if (known?.of !== now) known = readModels(now);
    return known;
  }

  /** The target of the config that serves this one by a `*`; undefined for all others. */
  function wildcardOf(target: Target): Target | undefined {
    const { exact, patterns } = current();
    if (patterns.length === 0 || exact.has(targetKey(target))) return undefined;
    const found = configuredTarget(patterns, target);
    return found && { provider: found.provider, model: found.model };
  }

  return {
    wildcardOf,

    /** The target that keeps the state of this one. */
    keeperOf(target: Target): Target {
      if (current().patterns.length === 0) return target;
      if (kept.get(target.provider)?.has(target.model)) return target;
      return wildcardOf(target) ?? target;
    },

    /** The provider has begun an answer: the model exists. */
    answered(target: Target): void {
      if (!wildcardOf(target)) return;
      const own = kept.get(target.provider) ?? new Set();
      if (own.has(target.model) || own.size >= mostKept) return;
      kept.set(target.provider, own.add(target.model));
      onKept?.({ provider: target.provider, model: target.model });
    },
  };
}

function readModels(models: Readonly<Record<string, ModelConfig>>) {
  const targets = Object.values(models).flatMap((model) => model.targets);
  return {
    of: models,
    exact: new Set(targets.map(targetKey)),
    patterns: targets.filter(({ model }) => isPattern(model)),
  };
}
