import type { Redis } from 'ioredis';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { leaseMs } from './port.ts';
import type { Leases } from './port.ts';

/** Ids of one call: Lua accepts some thousands of values, and Redis serves no other client meanwhile. */
const idsPerCall = 500;

export type RedisLeasesOptions = { redis: Redis; keys: Keyspace; ttlMs?: number };

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { take: load('take-lease'), renew: load('renew-leases') };

/** Leases by Redis' own clock. During an outage of Redis calls wait. */
export function createRedisLeases({ redis, keys, ttlMs = leaseMs }: RedisLeasesOptions): Leases {
  return {
    async take(name, id, limit) {
      const reply = await runScript(redis, scripts.take, [keys.leases(name)], [id, limit, ttlMs]);
      const [taken, held = 0] = reply as number[];
      return { kind: taken === 1 ? 'yes' : 'no', held };
    },
    async renew(name, ids) {
      const lost: string[] = [];
      for (let i = 0; i < ids.length; i += idsPerCall) {
        const args = [ttlMs, ...ids.slice(i, i + idsPerCall)];
        const reply = await runScript(redis, scripts.renew, [keys.leases(name)], args);
        lost.push(...(reply as string[]));
      }
      return lost;
    },
    async release(name, id) {
      await redis.zrem(keys.leases(name), id);
    },
  };
}
