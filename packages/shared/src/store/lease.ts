import type { Redis } from './redis.ts';
import { loadScript, runScript } from './script.ts';

const claim = loadScript(new URL('gossip/lua/claim-lease.lua', import.meta.url));

/** Takes a lease or renews it; whether this owner holds it now. It ends by itself after `ttlMs`. */
export const claimLease = async (
  redis: Redis,
  { key, owner, ttlMs }: { key: string; owner: string; ttlMs: number },
): Promise<boolean> => (await runScript(redis, claim, [key], [owner, ttlMs])) === 1;
