import type { Redis } from 'ioredis';
import type { EntryQueue, Taken } from './port.ts';

export type RedisEntryQueueOptions<T> = {
  /** For ordinary commands. */
  redis: Redis;
  /** The key of a shard's stream. */
  streamOf(shard: number): string;
  /** Over all shards. */
  backlog: EntryQueue<T>['backlog'];
  /** The consumer group. */
  group: string;
  /** Unique to this process: what it has taken is its own until it is done, or abandoned for ten seconds. */
  consumer: string;
  /** A connection for blocking reads; called once for each shard. */
  connect(longestBlockMs: number): Redis;
  /** Throws on an entry that this version cannot read. */
  decode(fields: ReadonlyMap<string, string>): T;
  /** Gets an entry that cannot be read, and why. */
  onDamaged(entryId: string, error: unknown): void;
};

const blockMs = 5000;
/** Milliseconds after which what a consumer has taken, and not finished, goes to another one. */
const abandonedMs = 10_000;

type RawEntry = [entryId: string, fields: string[] | null];

export function createRedisEntryQueue<T>(options: RedisEntryQueueOptions<T>): EntryQueue<T> {
  const { redis, streamOf, group, consumer, connect, onDamaged } = options;
  const readers = new Map<number, Reader>();

  type Reader = { blocking: Redis; hasGroup: boolean; claimAt: number };

  function readerOf(shard: number): Reader {
    let reader = readers.get(shard);
    if (!reader) {
      reader = { blocking: connect(blockMs), hasGroup: false, claimAt: 0 };
      readers.set(shard, reader);
    }
    return reader;
  }

  async function makeGroup(shard: number): Promise<void> {
    await redis
      .xgroup('CREATE', streamOf(shard), group, '0', 'MKSTREAM')
      .catch((error: unknown) => {
        if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error;
      });
  }

  /** What a consumer that died had taken, and this one after a lost reply. */
  async function claim(shard: number, count: number): Promise<RawEntry[]> {
    const key = streamOf(shard);
    const reply = await redis.xautoclaim(key, group, consumer, abandonedMs, '0', 'COUNT', count);
    return (reply as [string, RawEntry[]])[1];
  }

  async function next(shard: number, count: number, reader: Reader): Promise<RawEntry[]> {
    const now = performance.now();
    if (now >= reader.claimAt) {
      const claimed = await claim(shard, count);
      if (claimed.length > 0) return claimed;
      reader.claimAt = now + abandonedMs / 2;
    }
    const reply = await reader.blocking.xreadgroup(
      ...(['GROUP', group, consumer, 'COUNT', count, 'BLOCK', blockMs] as const),
      ...(['STREAMS', streamOf(shard), '>'] as const),
    );
    return reply?.[0]?.[1] ?? [];
  }

  /** Removes entries that cannot be read: they would be delivered for ever. */
  async function readable(shard: number, raw: readonly RawEntry[]): Promise<Taken<T>[]> {
    const taken = raw.map(([entryId, fields]) => decode(entryId, fields));
    const damaged = taken.filter((one) => 'error' in one);
    for (const { entryId, error } of damaged) onDamaged(entryId, error);
    if (damaged.length > 0) await remove(shard, damaged);
    return taken.filter((one) => 'entry' in one);
  }

  return {
    async take(shard, count, signal) {
      const reader = readerOf(shard);
      if (signal.aborted) return [];
      const aborted = Promise.withResolvers<RawEntry[]>();
      const onAbort = () => aborted.resolve([]);
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        if (!reader.hasGroup) await makeGroup(shard);
        reader.hasGroup = true;
        const raw = await Promise.race([next(shard, count, reader), aborted.promise]);
        return await readable(shard, raw);
      } catch (error) {
        // Redis lost the stream, and its group with it.
        if (error instanceof Error && error.message.startsWith('NOGROUP')) reader.hasGroup = false;
        throw error;
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    },

    async takeNow(shard, count) {
      // A blocking read that is under way would take entries that this consumer stores no more.
      readers.get(shard)?.blocking.disconnect();
      const reply = await redis.xreadgroup(
        ...(['GROUP', group, consumer, 'COUNT', count] as const),
        ...(['STREAMS', streamOf(shard), '>'] as const),
      );
      return readable(shard, reply?.[0]?.[1] ?? []);
    },

    done: remove,

    backlog: options.backlog,

    close() {
      for (const { blocking } of readers.values()) blocking.disconnect();
    },
  };

  async function remove(shard: number, entries: readonly { entryId: string }[]): Promise<void> {
    if (entries.length === 0) return;
    const entryIds = entries.map(({ entryId }) => entryId);
    // In this order, on one connection: if only the first one comes through, XAUTOCLAIM finds the entries deleted.
    await Promise.all([
      redis.xdel(streamOf(shard), ...entryIds),
      redis.xack(streamOf(shard), group, ...entryIds),
    ]);
  }

  function decode(entryId: string, fields: string[] | null): Decoded<T> {
    try {
      return { entryId, entry: options.decode(pairs(fields ?? [])) };
    } catch (error) {
      return { entryId, error };
    }
  }
}

type Decoded<T> = Taken<T> | { entryId: string; error: unknown };

function pairs(fields: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) values.set(fields[i] ?? '', fields[i + 1] ?? '');
  return values;
}
