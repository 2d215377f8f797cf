import type { AuditEntry } from '../../domain/audit.ts';
import { readJsonObject } from '../../domain/json.ts';
import { createRedisEntryQueue } from '../entry-queue/redis-entry-queue.ts';
import type { RedisEntryQueueOptions } from '../entry-queue/redis-entry-queue.ts';
import type { EntryQueue } from '../entry-queue/port.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';

export type RedisAuditQueueOptions = { keys: Keyspace } & Pick<
  RedisEntryQueueOptions<AuditEntry>,
  'redis' | 'consumer' | 'connect' | 'onDamaged'
>;

/** The audit entries that the database does not have yet. There is one stream, as they are few. */
export const createRedisAuditQueue = ({
  keys,
  ...options
}: RedisAuditQueueOptions): EntryQueue<AuditEntry> =>
  createRedisEntryQueue({
    ...options,
    group: 'audit',
    streamOf: keys.audit,
    async backlog() {
      const [waiting, dropped] = await Promise.all([
        options.redis.xlen(keys.audit()),
        options.redis.hget(keys.auditState(), records.audit.dropped),
      ]);
      return { waiting, dropped: Number(dropped ?? 0) };
    },
    decode: (fields) => readEntry(fields.get(records.audit.entry) ?? ''),
  });

function readEntry(text: string): AuditEntry {
  const value = readJsonObject(text);
  const { id, at, actor, action, outcome } = value ?? {};
  const isWhole =
    typeof at === 'number' && [id, actor, action, outcome].every((one) => typeof one === 'string');
  if (!isWhole) throw new Error('an audit entry without id, at, actor, action or outcome');
  return value as unknown as AuditEntry;
}
