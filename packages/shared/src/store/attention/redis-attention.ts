import type { Redis } from 'ioredis';
import { readJsonObject } from '../../domain/json.ts';
import type { Keyspace } from '../keys.ts';
import { claimLease } from '../lease.ts';
import type { AttentionStore, KeptCondition } from './port.ts';

export type RedisAttentionOptions = {
  redis: Redis;
  keys: Keyspace;
  /** Unique to this process. */
  owner: string;
};

/** Milliseconds after which another control plane may lead: some looks. */
const leaseMs = 20_000;
/** Milliseconds after which conditions are forgotten if no control plane looks at the fleet. */
const forgottenMs = 86_400_000;

/** A hash with a field for each condition. */
export function createRedisAttention({
  redis,
  keys,
  owner,
}: RedisAttentionOptions): AttentionStore {
  const key = keys.attention();
  return {
    lead: () => claimLease(redis, { key: keys.gossipLease('attention'), owner, ttlMs: leaseMs }),

    async read() {
      const kept = new Map<string, KeptCondition>();
      for (const [id, text] of Object.entries(await redis.hgetall(key))) {
        const one = parse(text);
        if (one) kept.set(id, one);
      }
      return kept;
    },

    async write(changes, removed) {
      const fields = [...changes].flatMap(([id, one]) => [id, JSON.stringify(one)]);
      await Promise.all([
        fields.length > 0 && redis.hset(key, ...fields),
        fields.length > 0 && redis.pexpire(key, forgottenMs),
        removed.length > 0 && redis.hdel(key, ...removed),
      ]);
    },
  };
}

/** Undefined for a text of another version. */
function parse(text: string): KeptCondition | undefined {
  const value = readJsonObject(text);
  const isWhole =
    typeof value?.['firstAt'] === 'number' &&
    typeof value['seenAt'] === 'number' &&
    typeof value['condition'] === 'object' &&
    value['condition'] !== null;
  return isWhole ? (value as KeptCondition) : undefined;
}
