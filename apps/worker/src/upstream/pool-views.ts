import { maxConnectionsInAnswer, maxConnectionsOfPool } from '@millrace/shared/domain/inquiry';
import type { PoolsAnswer, ProviderKeyView } from '@millrace/shared/domain/inquiry';
import type { Pools } from './pool/pools.ts';
import type { Selection } from './selection/selection.ts';

type Keys = ReturnType<Selection['snapshot']>['keys'];

/** What an operator sees of this worker's pools, with each connection: made when one looks, and of bounded size. */
export function poolViews(pools: Pick<Pools, 'stats' | 'look'>, keys: Keys): PoolsAnswer {
  let room = maxConnectionsInAnswer;
  const views = Object.entries(pools.stats()).map(([provider, stats]) => {
    const connections = pools.look(provider, Math.min(maxConnectionsOfPool, room));
    room -= connections.length;
    const { limit, size, active, idle, connecting, waiting, waitTimeouts, reuseRate } = stats;
    return {
      provider,
      limit,
      size,
      active,
      idle,
      connecting,
      waiting,
      waitTimeouts,
      reuseRate,
      connections: connections.map((one) => ({
        ...one,
        ageMs: Math.round(one.ageMs),
        ...(one.idleMs !== undefined && { idleMs: Math.round(one.idleMs) }),
      })),
      keys: keyViews(keys[provider] ?? []),
    };
  });
  return { pools: views };
}

const keyViews = (places: Keys[string]): ProviderKeyView[] =>
  places.map(({ index, asideUntil, models }) => ({
    index,
    asideUntil,
    models: Object.entries(models).map(([model, { closedUntil, quota }]) => ({
      model,
      closedUntil,
      quota,
    })),
  }));
