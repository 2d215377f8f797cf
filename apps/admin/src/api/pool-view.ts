import type { ConnectionView, PoolView, ProviderKeyView } from '@millrace/shared/domain/inquiry';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { Asked } from '@millrace/shared/store/inquiries/port';

/* What `GET /admin/upstreams` says of the workers' pools. A worker of another version may answer anything. */

/** The pools of all workers, sorted by provider and worker. */
export function poolsView({ answers }: Asked) {
  const views = answers.flatMap(({ name, value }) => {
    const pools = isJsonObject(value) ? itemsOf(value['pools']) : [];
    return pools.filter(isPool).map((pool) => poolView(name, pool));
  });
  return views.sort((one, other) =>
    one.provider === other.provider
      ? compare(one.worker, other.worker)
      : compare(one.provider, other.provider),
  );
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

const isPool = (value: unknown): value is PoolView =>
  isJsonObject(value) &&
  typeof value['provider'] === 'string' &&
  Array.isArray(value['connections']) &&
  Array.isArray(value['keys']);

function poolView(worker: string, pool: PoolView) {
  return {
    provider: pool.provider,
    worker,
    limit: pool.limit,
    size: pool.size,
    active: pool.active,
    idle: pool.idle,
    connecting: pool.connecting,
    waiting: pool.waiting,
    wait_timeouts: pool.waitTimeouts,
    reuse_rate: pool.reuseRate,
    connections: pool.connections.map(connectionView),
    // A pool may have more than an answer carries.
    truncated: pool.connections.length < pool.size + pool.connecting,
    keys: pool.keys.map(keyView),
  };
}

const connectionView = ({ state, requests, ageMs, idleMs }: ConnectionView) => ({
  state,
  requests,
  age_ms: ageMs,
  idle_ms: idleMs ?? null,
});

/** A key by its place in the config: nothing of its text leaves a worker. */
function keyView({ index, asideUntil, models }: ProviderKeyView) {
  const limits = models.map(({ model, closedUntil, quota }) => ({
    model,
    closed_until_at: timeOrNull(closedUntil),
    ...quotaView(quota),
  }));
  const isLimited = limits.some(({ closed_until_at }) => closed_until_at !== null);
  return {
    label: `key ${index + 1}`,
    state: asideUntil !== undefined ? 'set_aside' : isLimited ? 'limited' : 'ready',
    parked_until_at: timeOrNull(asideUntil),
    limits,
  };
}

function quotaView(quota: unknown) {
  const units = isJsonObject(quota) ? quota : {};
  return { requests: unitView(units['requests']), tokens: unitView(units['tokens']) };
}

function unitView(unit: unknown) {
  if (!isJsonObject(unit)) return null;
  const { limit = null, remaining = null, resetAt } = unit;
  return { limit, remaining, resets_at: timeOrNull(resetAt) };
}

const timeOrNull = (ms: unknown): string | null =>
  typeof ms === 'number' && Number.isFinite(ms) && ms > 0 && ms < 8.64e15
    ? new Date(ms).toISOString()
    : null;
