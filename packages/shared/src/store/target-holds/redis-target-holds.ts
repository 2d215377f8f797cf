import type { Redis } from 'ioredis';
import { readJsonObject } from '../../domain/json.ts';
import type { Keyspace } from '../keys.ts';
import { holdsChanged, maxHolds } from './port.ts';
import type { TargetHold, TargetHolds } from './port.ts';

/** A hash, and a message on the channel of the gossip. */
export function createRedisTargetHolds(redis: Redis, keys: Keyspace): TargetHolds {
  const key = keys.targetHolds();
  const tell = () => redis.spublish(keys.gossip(), holdsChanged);
  return {
    async read() {
      const holds = new Map<string, TargetHold>();
      for (const [target, text] of Object.entries(await redis.hgetall(key))) {
        const hold = readHold(text);
        if (hold) holds.set(target, hold);
      }
      return holds;
    },

    async add(target, hold) {
      // Two operators at the same time may exceed the number by one.
      if ((await redis.hlen(key)) >= maxHolds && !(await redis.hexists(key, target))) return 'full';
      const isNew = (await redis.hsetnx(key, target, JSON.stringify(hold))) === 1;
      await tell();
      return isNew ? 'added' : 'known';
    },

    async remove(target) {
      const removed = await redis.hdel(key, target);
      await tell();
      return removed === 1;
    },
  };
}

/** Undefined for a text of another version. */
function readHold(text: string): TargetHold | undefined {
  const { by, at } = readJsonObject(text) ?? {};
  return typeof by === 'string' && typeof at === 'number' ? { by, at } : undefined;
}
