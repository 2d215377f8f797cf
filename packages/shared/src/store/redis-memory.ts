import type { Redis } from './redis.ts';

/** Bytes in use, and the most that Redis may use; 0: it has no limit. */
export type RedisMemory = { readonly used: number; readonly max: number };

/** Rejects if the user of Redis lacks the right to INFO. */
export const readRedisMemory = async (redis: Redis): Promise<RedisMemory> =>
  parseMemory(await redis.info('memory'));

/** `INFO memory` as Redis and Valkey write it. */
export function parseMemory(info: string): RedisMemory {
  const field = (name: string) =>
    Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN);
  return { used: field('used_memory') || 0, max: field('maxmemory') || 0 };
}
