import type { PoolConfig } from '@millrace/shared/config';
import { Pool } from 'undici';

/** One pool of kept-alive connections for each provider origin. */
export type Pools = {
  of(origin: string, config: PoolConfig): Pool;
  close(): Promise<void>;
};

/** Milliseconds an idle connection is kept: below the 60 s at which common load balancers drop theirs. */
const keepAliveTimeoutMs = 55_000;
/** Milliseconds we trust a provider that promises longer. */
const keepAliveMaxMs = 10 * 60_000;

export function createPools(): Pools {
  const pools = new Map<string, Pool>();
  return {
    of(origin, { connections, connectTimeoutMs }) {
      let pool = pools.get(origin);
      if (!pool) {
        pool = new Pool(origin, {
          connections,
          connect: { timeout: connectTimeoutMs, noDelay: true, keepAlive: true },
          keepAliveTimeout: keepAliveTimeoutMs,
          keepAliveMaxTimeout: keepAliveMaxMs,
          // Time is watched by the attempt, which knows what progress is.
          headersTimeout: 0,
          bodyTimeout: 0,
        });
        pools.set(origin, pool);
      }
      return pool;
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()));
      pools.clear();
    },
  };
}
