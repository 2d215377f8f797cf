import { lookup as lookUpName } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from '@millrace/shared/config';
import type { ProviderConfig } from '@millrace/shared/config';
import type { ConnectionView } from '@millrace/shared/domain/inquiry';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Gathering } from '../../coalescing/gathering.ts';
import { modelsRequest } from './keep-warm.ts';
import type { Endpoint } from './open.ts';
import { readTls } from './pem.ts';
import { createPool } from './pool.ts';
import type { ConnectEvent, Pool, PoolOptions } from './pool.ts';
import type { PoolStats } from './stats.ts';
import { createTlsClient } from './tls.ts';
import { readProxy } from './tunnel.ts';

export type PoolsOptions = {
  onConnect?: (provider: string, event: ConnectEvent) => void;
  onConnectFailure?: (provider: string, fault: Fault, losses: number) => void;
  lookup?: LookupFunction;
  gathering?: Gathering;
  /** Reduces a provider's pool to what the machine allows. `all`: the providers that share it. */
  limited?(name: string, provider: ProviderConfig, all: Providers): ProviderConfig;
};

/**
 * One pool for each provider, by name: two providers with the same address have separate pools, because their
 * keys, certificates and limits differ.
 */
export type Pools = {
  of(provider: string): Pool | undefined;
  /** Those of the present config, by provider; a change of the config makes another map. */
  readonly all: ReadonlyMap<string, Pool>;
  /**
   * Makes pools for the providers that are new or changed, and returns what puts them into use and retires those that they
   * replace. Throws a ConfigError, and has then changed nothing.
   */
  prepare(providers: Providers): () => void;
  /** Closes a retired pool. */
  drop(pool: Pool): void;
  /** Opens the warm connections of these providers, and keeps them. */
  warm(providers: Iterable<string>): void;
  stats(): Record<string, PoolStats>;
  /** At most so many connections of a provider. */
  look(provider: string, most: number): ConnectionView[];
  close(): void;
};

type Providers = Readonly<Record<string, ProviderConfig>>;

/** Throws a ConfigError if a PEM file is missing or malformed: they are read here, once. */
export function createPools(
  providers: Readonly<Record<string, ProviderConfig>>,
  options: PoolsOptions = {},
): Pools {
  let configured: Providers = {};
  let pools: ReadonlyMap<string, Pool> = new Map();
  /** By the provider that they had. They close when no run needs them. */
  const retired = new Map<Pool, string>();

  function prepare(next: Providers): () => void {
    const problems: string[] = [];
    const made = new Map<string, Pool>();
    for (const [name, config] of Object.entries(next)) {
      const before = pools.get(name);
      if (before && hasSamePool(configured[name], config)) {
        made.set(name, before);
        continue;
      }
      const madeOptions = poolOptions(
        name,
        options.limited?.(name, config, next) ?? config,
        options,
      );
      if (typeof madeOptions === 'string') problems.push(madeOptions);
      else made.set(name, createPool({ ...madeOptions, counters: before?.counters }));
    }
    if (problems.length > 0) throw new ConfigError(problems);
    return () => {
      for (const [name, pool] of pools) {
        if (made.get(name) === pool) continue;
        retired.set(pool, name);
        pool.retire();
      }
      configured = next;
      pools = made;
    };
  }

  prepare(providers)();
  return {
    of: (provider) => pools.get(provider),
    get all() {
      return pools;
    },
    prepare,
    drop(pool) {
      retired.delete(pool);
      pool.close();
    },
    warm(names) {
      for (const name of new Set(names)) pools.get(name)?.warm();
    },
    stats() {
      const stats = Object.fromEntries([...pools].map(([name, pool]) => [name, pool.stats()]));
      for (const [pool, name] of retired) {
        const own = pool.stats();
        const other = stats[name];
        const isInUse = own.size + own.connecting + own.waiting > 0;
        if (other) stats[name] = sumOfGauges(other, own);
        else if (isInUse) stats[name] = own;
      }
      return stats;
    },
    look(provider, most) {
      const views = pools.get(provider)?.look(most) ?? [];
      for (const [pool, name] of retired) {
        if (name === provider) views.push(...pool.look(most - views.length));
      }
      return views;
    },
    close() {
      for (const pool of [...pools.values(), ...retired.keys()]) pool.close();
    },
  };
}

/** What a pool is made of. The keys and the like are part of it, because keep-warm requests carry them. */
const partsOfPool = (provider: ProviderConfig) => {
  const { api, baseUrl, apiKeys, auth, query, headers, proxy, pool, tls } = provider;
  return { api, baseUrl, apiKeys, auth, query, headers, proxy, pool, tls };
};

const hasSamePool = (one: ProviderConfig | undefined, other: ProviderConfig): boolean =>
  one !== undefined && isDeepStrictEqual(partsOfPool(one), partsOfPool(other));

/** Of two pools of one provider, which share their counters. */
const sumOfGauges = (one: PoolStats, other: PoolStats): PoolStats => ({
  ...one,
  size: one.size + other.size,
  active: one.active + other.active,
  idle: one.idle + other.idle,
  warm: one.warm + other.warm,
  connecting: one.connecting + other.connecting,
  waiting: one.waiting + other.waiting,
});

/** Returns a string if there is a problem with the configuration. */
function poolOptions(
  name: string,
  provider: ProviderConfig,
  { onConnect, onConnectFailure, lookup = lookUpName, gathering }: PoolsOptions,
): PoolOptions | string {
  const { baseUrl, pool: config, proxy, tls } = provider;
  const url = new URL(baseUrl);
  const isTls = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  // Also read if it is not used: errors in the config are reported at the start.
  const context = readTls(tls, `providers.${name}.tls`);
  if (typeof context === 'string') return context;
  const endpoint: Endpoint = {
    host,
    port: Number(url.port || (isTls ? 443 : 80)),
    lookup,
    proxy: proxy === undefined ? undefined : readProxy(proxy),
    tls: isTls
      ? createTlsClient(host, { context, pins: tls.pins, http2: config.http2 })
      : undefined,
    connectTimeoutMs: config.connectTimeoutMs,
  };
  return {
    origin: url.origin,
    endpoint,
    config,
    gathering,
    ...(config.keepWarm === 'models' && { models: modelsRequest(provider) }),
    ...(onConnect && { onConnect: (event: ConnectEvent) => onConnect(name, event) }),
    onConnectFailure: (fault, losses) => onConnectFailure?.(name, fault, losses),
  };
}
