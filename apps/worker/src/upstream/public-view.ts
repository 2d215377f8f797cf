import type { HealthSnapshot } from './health/port.ts';
import type { PoolStats } from './pool/stats.ts';
import type { Selection } from './selection/selection.ts';

export type UpstreamState = {
  /** By provider. */
  pools: Readonly<Record<string, PoolStats>>;
  health: HealthSnapshot;
  selection: ReturnType<Selection['snapshot']>;
};

/**
 * What `GET /admin/upstreams` shows of a worker's upstreams, with public field names: underscores, times in
 * seconds since the epoch, durations as `…_ms`. Names that operators chose stay.
 */
export function publicView({ pools, health, selection }: UpstreamState) {
  return {
    pools: mapValues(pools, toPublic),
    health: toPublic(health),
    selection: {
      waiting: selection.waiting,
      models: mapValues(selection.models, toPublic),
      keys: mapValues(selection.keys, (places) =>
        places.map(({ models, ...key }) => ({
          ...(toPublic(key) as object),
          models: mapValues(models, toPublic),
        })),
      ),
    },
  };
}

const isTime = (name: string): boolean => /(?:At|Until)$|^(?:since|until|at)$/.test(name);

function toPublic(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toPublic);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      typeof inner === 'number' && isTime(name) ? inner / 1000 : toPublic(inner),
    ]),
  );
}

const mapValues = <T, U>(
  record: Readonly<Record<string, T>>,
  change: (value: T) => U,
): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
