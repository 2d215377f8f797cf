import type { Keyspace } from '../keys.ts';
import type { Redis } from '../redis.ts';

/** The oldest and the newest entry that wait for the database, by their ids; undefined if none waits. */
export type WaitingEntries = { oldest: string; newest: string } | undefined;

export async function waitingEntries(
  redis: Redis,
  keys: Keyspace,
  shard: number,
): Promise<WaitingEntries> {
  const key = keys.ledger(shard);
  const [[first], [last]] = await Promise.all([
    redis.xrange(key, '-', '+', 'COUNT', 1),
    redis.xrevrange(key, '+', '-', 'COUNT', 1),
  ]);
  return first && last && { oldest: first[0], newest: last[0] };
}

/** Whether an entry was added after another one. */
export function isLater(entryId: string, other: string): boolean {
  const [ms = 0, seq = 0] = entryId.split('-').map(Number);
  const [otherMs = 0, otherSeq = 0] = other.split('-').map(Number);
  return ms > otherMs || (ms === otherMs && seq > otherSeq);
}

/** When the oldest entry of all shards that waits was written, in milliseconds since the epoch. */
export async function oldestWaiting(
  redis: Redis,
  keys: Keyspace,
  shards: number,
): Promise<number | undefined> {
  const each = await Promise.all(
    Array.from({ length: shards }, (_, shard) =>
      redis.xrange(keys.ledger(shard), '-', '+', 'COUNT', 1),
    ),
  );
  const times = each.flatMap(([first]) => (first ? [Number(first[0].split('-')[0])] : []));
  return times.length === 0 ? undefined : Math.min(...times);
}
