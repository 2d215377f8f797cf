import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { shardOf } from '../keys.ts';
import type { Keyspace } from '../keys.ts';
import { callerName } from '../stream-log/redis-log.ts';
import { loadScript, runScript } from '../script.ts';
import { lockMs } from '../queue/bullmq-shard.ts';
import { keptOptions } from '../queue/job-retention.ts';
import { jobPriority, bandWidth, bandStart, stepOf, ttlMs } from '../queue/fair-queue.ts';
import type { NewRequest, Submit, SubmitOutcome } from './port.ts';
import { bullKey } from '../queue/bullmq-layout.ts';

export type RedisSubmitOptions = {
  redis: Redis;
  keys: Keyspace;
  /** How long an unfinished request is kept: the longest wait in the queue and the longest run. */
  lifetimeMs: number;
  /** How long operators see its job after it has ended. */
  retentionMs: number;
};

/**
 * The most bytes of a body that is sent to a worker with its job: the channel also carries messages that
 * requests have ended.
 */
const mostBytes = 64 * 1024;

/** Milliseconds since a worker's last beat (four a second) for which it is sent jobs. */
const offerMs = 500;

const script = loadScript(new URL('../queue/lua/submit.lua', import.meta.url));

/** Keys of one shard's queue that BullMQ has, in the order of the script. */
const queueKeys = [
  bullKey.prioritized,
  bullKey.active,
  bullKey.marker,
  bullKey.events,
  bullKey.id,
  bullKey.meta,
] as const;

export function createRedisSubmit(options: RedisSubmitOptions): Submit {
  const { redis, keys, lifetimeMs, retentionMs } = options;
  const kept = keptOptions(retentionMs);

  function keysOf({ meta: { id }, job: { standing }, once }: NewRequest): string[] {
    const shard = shardOf(id);
    return [
      keys.request(id),
      keys.body(id),
      keys.queue(shard, id),
      ...queueKeys.map((name) => keys.queue(shard, name)),
      keys.finishes(shard, standing.priority),
      keys.queueCounts(shard),
      keys.deadlines(shard),
      keys.queue(shard, bullKey.wait),
      keys.queue(shard, bullKey.delayed),
      keys.log(id),
      keys.offers(shard),
      keys.dispatches(shard),
      keys.beats(shard),
      ...(once ? [keys.once(shard, once.hash)] : []),
    ];
  }

  function argsOf({ meta, body, inbox = '', job, once }: NewRequest): (string | number)[] {
    const { id } = meta;
    const { priority, key, weight, bytes } = job.standing;
    const opts = JSON.stringify({ ...kept, jobId: id, priority: jobPriority });
    const what = [id, JSON.stringify(meta), inbox, body, lifetimeMs];
    const asJob = [job.model, JSON.stringify(job), opts, jobPriority, Date.now()];
    const where = [bandStart(priority), bandWidth, stepOf(weight), key, bytes, ttlMs];
    const offered = [randomUUID(), lockMs, mostBytes, keys.worker(shardOf(id), ''), offerMs];
    const webhook = meta.webhook ? '1' : '';
    const keepsBody = meta.keepsBody ? '1' : '';
    const asked = once ? [once.fingerprint, callerName(once.caller)] : [];
    return [
      ...what,
      ...asJob,
      ...where,
      job.deadlineAt ?? '',
      ...offered,
      webhook,
      keepsBody,
      ...asked,
    ];
  }

  return async (request, isWanted) => {
    const reply = await runScript(redis, script, keysOf(request), argsOf(request), isWanted);
    const [kind, detail = ''] = reply as ['created' | 'joined' | 'conflict', string?];
    if (kind === 'created') return { kind, isWaiting: detail === 'waiting' };
    return (kind === 'joined' ? { kind, id: detail } : { kind }) satisfies SubmitOutcome;
  };
}
