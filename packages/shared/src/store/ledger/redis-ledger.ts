import type { Redis } from 'ioredis';
import { decodeEntry, isTerminal } from '../../domain/entry.ts';
import type { LedgerEntry, LedgerFacts } from '../../domain/ledger.ts';
import type { RequestMeta } from '../../domain/request.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import type { LedgerBacklog, LedgerQueue, TakenEntry } from './port.ts';

export type RedisLedgerOptions = {
  /** For ordinary commands. */
  redis: Redis;
  keys: Keyspace;
  shards: number;
  /** Unique to this process: what it has taken is its own until it is done, or abandoned for ten seconds. */
  consumer: string;
  /** A connection for blocking reads; called once for each shard. */
  connect(longestBlockMs: number): Redis;
  /** Gets an entry that cannot be read, and why. */
  onDamaged(entryId: string, error: unknown): void;
};

const group = 'ledger';
const blockMs = 5000;
/** Milliseconds after which what a consumer has taken, and not finished, goes to another one. */
const abandonedMs = 10_000;

type RawEntry = [entryId: string, fields: string[] | null];

/** Over all shards. */
export async function readLedgerBacklog(
  redis: Redis,
  keys: Keyspace,
  shards: number,
): Promise<LedgerBacklog> {
  const all = Array.from({ length: shards }, async (_, shard) => {
    const [waiting, dropped] = await Promise.all([
      redis.xlen(keys.ledger(shard)),
      redis.hget(keys.queueCounts(shard), records.counts.ledgerDropped),
    ]);
    return { waiting, dropped: Number(dropped ?? 0) };
  });
  const each = await Promise.all(all);
  const sum = (field: 'waiting' | 'dropped') => each.reduce((total, one) => total + one[field], 0);
  return { waiting: sum('waiting'), dropped: sum('dropped') };
}

export function createRedisLedger(options: RedisLedgerOptions): LedgerQueue {
  const { redis, keys, shards, consumer, connect, onDamaged } = options;
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
      .xgroup('CREATE', keys.ledger(shard), group, '0', 'MKSTREAM')
      .catch((error: unknown) => {
        if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error;
      });
  }

  /** What a consumer that died had taken, and this one after a lost reply. */
  async function claim(shard: number, count: number): Promise<RawEntry[]> {
    const key = keys.ledger(shard);
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
      ...(['STREAMS', keys.ledger(shard), '>'] as const),
    );
    return reply?.[0]?.[1] ?? [];
  }

  /** Removes entries that cannot be read: they would be delivered for ever. */
  async function readable(shard: number, raw: readonly RawEntry[]): Promise<TakenEntry[]> {
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
        ...(['STREAMS', keys.ledger(shard), '>'] as const),
      );
      return readable(shard, reply?.[0]?.[1] ?? []);
    },

    done: remove,

    backlog: () => readLedgerBacklog(redis, keys, shards),

    close() {
      for (const { blocking } of readers.values()) blocking.disconnect();
    },
  };

  async function remove(shard: number, entries: readonly { entryId: string }[]): Promise<void> {
    if (entries.length === 0) return;
    const entryIds = entries.map(({ entryId }) => entryId);
    // In this order, on one connection: if only the first one comes through, XAUTOCLAIM finds the entries deleted.
    await Promise.all([
      redis.xdel(keys.ledger(shard), ...entryIds),
      redis.xack(keys.ledger(shard), group, ...entryIds),
    ]);
  }
}

type Decoded = TakenEntry | { entryId: string; error: unknown };

function decode(entryId: string, fields: string[] | null): Decoded {
  try {
    return { entryId, entry: entryOf(fields ?? []) };
  } catch (error) {
    return { entryId, error };
  }
}

/** Throws on an entry that this version cannot read. */
function entryOf(fields: readonly string[]): LedgerEntry {
  const { ledger } = records;
  const values = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) values.set(fields[i] ?? '', fields[i + 1] ?? '');
  const { id: idField, meta: metaField, end: endField, facts: factsField, run } = ledger;
  const [id, meta, line, facts] = [idField, metaField, endField, factsField].map((name) =>
    values.get(name),
  );
  if (id === undefined || meta === undefined) throw new Error('a ledger entry without a request');
  const end = line === undefined ? undefined : decodeEntry(line);
  if (end && !isTerminal(end)) throw new Error(`a ledger entry with a line of kind ${end.kind}`);
  return {
    id,
    meta: JSON.parse(meta) as RequestMeta,
    end,
    run: Number(values.get(run) ?? 0),
    facts: facts === undefined ? undefined : (JSON.parse(facts) as LedgerFacts),
  };
}
