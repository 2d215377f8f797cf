import { decodeEntry, isTerminal } from '../../domain/entry.ts';
import type { RequestMeta } from '../../domain/request.ts';
import type { EndedJob } from '../../domain/webhook.ts';
import { createRedisEntryQueue } from '../entry-queue/redis-entry-queue.ts';
import type { RedisEntryQueueOptions } from '../entry-queue/redis-entry-queue.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import type { EndedJobs } from './port.ts';

export type RedisEndedJobsOptions = { keys: Keyspace; shards: number } & Pick<
  RedisEntryQueueOptions<EndedJob>,
  'redis' | 'consumer' | 'connect' | 'onDamaged'
>;

export const createRedisEndedJobs = ({
  keys,
  shards,
  ...options
}: RedisEndedJobsOptions): EndedJobs =>
  createRedisEntryQueue({
    ...options,
    group: 'webhooks',
    streamOf: keys.endedJobs,
    async backlog() {
      const all = Array.from({ length: shards }, async (_, shard) => {
        const [waiting, dropped] = await Promise.all([
          options.redis.xlen(keys.endedJobs(shard)),
          options.redis.hget(keys.queueCounts(shard), records.counts.webhooksDropped),
        ]);
        return { waiting, dropped: Number(dropped ?? 0) };
      });
      const each = await Promise.all(all);
      const sum = (field: 'waiting' | 'dropped') =>
        each.reduce((total, one) => total + one[field], 0);
      return { waiting: sum('waiting'), dropped: sum('dropped') };
    },
    decode: endedJobOf,
  });

/** Throws on an entry that this version cannot read. */
function endedJobOf(values: ReadonlyMap<string, string>): EndedJob {
  const { meta: metaField, end: endField } = records.endedJob;
  const [meta, line] = [values.get(metaField), values.get(endField)];
  if (meta === undefined || line === undefined) throw new Error('an ended job without its end');
  const end = decodeEntry(line);
  if (!isTerminal(end)) throw new Error(`an ended job with a line of kind ${end.kind}`);
  return { meta: JSON.parse(meta) as RequestMeta, end };
}
