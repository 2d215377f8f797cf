import type { Redis } from 'ioredis';
import { decodeEntry, isTerminal } from '../../domain/entry.ts';
import type { LedgerEntry, LedgerFacts } from '../../domain/ledger.ts';
import type { RequestMeta } from '../../domain/request.ts';
import { createRedisEntryQueue } from '../entry-queue/redis-entry-queue.ts';
import type { RedisEntryQueueOptions } from '../entry-queue/redis-entry-queue.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import type { LedgerBacklog, LedgerQueue } from './port.ts';

export type RedisLedgerOptions = {
  redis: Redis;
  keys: Keyspace;
  shards: number;
} & Pick<RedisEntryQueueOptions<LedgerEntry>, 'consumer' | 'connect' | 'onDamaged'>;

export const createRedisLedger = ({ keys, ...options }: RedisLedgerOptions): LedgerQueue =>
  createRedisEntryQueue({
    ...options,
    group: 'ledger',
    streamOf: keys.ledger,
    backlog: () => readLedgerBacklog(options.redis, keys, options.shards),
    decode: entryOf,
  });

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

/** Throws on an entry that this version cannot read. */
function entryOf(values: ReadonlyMap<string, string>): LedgerEntry {
  const { ledger } = records;
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
