import type { Redis } from 'ioredis';
import { parseRequestId } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { bullKey, bullMeta } from './bullmq-layout.ts';

/** The queue as operators see it, over all shards. */
export type QueueState = {
  waiting: number;
  active: number;
  /** When the oldest waiting request was made; ms since the epoch. Of a long queue, the oldest of its first 1,000. */
  oldestAt: number | undefined;
  pausedShards: readonly number[];
};

/** Jobs at the head of each list that are compared: the fair queue does not order them by their age. */
const compared = 1000;

export async function readQueueState(
  redis: Redis,
  keys: Keyspace,
  shards: number,
): Promise<QueueState> {
  const each = await Promise.all(
    Array.from({ length: shards }, async (_, shard) => {
      const wait = keys.queue(shard, bullKey.wait);
      const prioritized = keys.queue(shard, bullKey.prioritized);
      const [inList, inOrder, active, front, first, isPaused] = await Promise.all([
        redis.llen(wait),
        redis.zcard(prioritized),
        redis.llen(keys.queue(shard, bullKey.active)),
        redis.lrange(wait, -compared, -1),
        redis.zrange(prioritized, '0', String(compared - 1)),
        redis.hexists(keys.queue(shard, bullKey.meta), bullMeta.paused),
      ]);
      return { waiting: inList + inOrder, active, ids: [...front, ...first], isPaused };
    }),
  );
  const times = each.flatMap(({ ids }) => ids.flatMap((id) => parseRequestId(id)?.createdAt ?? []));
  const sum = (field: 'waiting' | 'active') => each.reduce((total, one) => total + one[field], 0);
  return {
    waiting: sum('waiting'),
    active: sum('active'),
    oldestAt: times.length === 0 ? undefined : Math.min(...times),
    pausedShards: each.flatMap(({ isPaused }, shard) => (isPaused ? [shard] : [])),
  };
}
