import { lookup as lookUpName } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { ConfigError } from '@millrace/shared/config';
import type { ProviderConfig } from '@millrace/shared/config';
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
};

/**
 * One pool for each provider, by name: two providers with the same address have separate pools, because their
 * keys, certificates and limits differ.
 */
export type Pools = {
  of(provider: string): Pool | undefined;
  /** Opens the warm connections of these providers, and keeps them. */
  warm(providers: Iterable<string>): void;
  stats(): Record<string, PoolStats>;
  close(): void;
};

/** Throws a ConfigError if a PEM file is missing or malformed: they are read here, once. */
export function createPools(
  providers: Readonly<Record<string, ProviderConfig>>,
  options: PoolsOptions = {},
): Pools {
  const problems: string[] = [];
  const pools = new Map<string, Pool>();
  for (const [name, config] of Object.entries(providers)) {
    const made = poolOptions(name, config, options);
    if (typeof made === 'string') problems.push(made);
    else pools.set(name, createPool(made));
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    of: (provider) => pools.get(provider),
    warm(names) {
      for (const name of new Set(names)) pools.get(name)?.warm();
    },
    stats: () => Object.fromEntries([...pools].map(([name, pool]) => [name, pool.stats()])),
    close() {
      for (const pool of pools.values()) pool.close();
    },
  };
}

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
