import type { Target } from './request.ts';
import { targetKey } from './target-key.ts';

/** The limits of a target per minute, for the whole fleet; at least one of them. */
export type TargetLimits = {
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
};

export type LimitedModels = Readonly<
  Record<string, { readonly targets: readonly (Target & { readonly limits?: TargetLimits })[] }>
>;

/** The limits of targets by their `targetKey`. A target of several models has one limit: the smallest of those configured. */
export function limitsByTarget(models: LimitedModels): Map<string, TargetLimits> {
  const limits = new Map<string, TargetLimits>();
  for (const target of Object.values(models).flatMap((model) => model.targets)) {
    const { requestsPerMinute, tokensPerMinute } = target.limits ?? {};
    const known = limits.get(targetKey(target));
    const requests = smaller(known?.requestsPerMinute, requestsPerMinute);
    const tokens = smaller(known?.tokensPerMinute, tokensPerMinute);
    if (requests === undefined && tokens === undefined) continue;
    limits.set(targetKey(target), {
      ...(requests === undefined ? {} : { requestsPerMinute: requests }),
      ...(tokens === undefined ? {} : { tokensPerMinute: tokens }),
    });
  }
  return limits;
}

const smaller = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
