import { gzip as gzipCallback } from 'node:zlib';
import { promisify } from 'node:util';
import type { Redis } from 'ioredis';
import { maxWaitingRecords } from '../../domain/debug-record.ts';
import { createRedisEntryQueue } from '../entry-queue/redis-entry-queue.ts';
import type { RedisEntryQueueOptions } from '../entry-queue/redis-entry-queue.ts';
import type { EntryQueue } from '../entry-queue/port.ts';
import { frameRecord } from './framing.ts';
import type { RawRecord } from './framing.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import { loadScript, runScript } from '../script.ts';

/** `packed`: the frame of a record (framing.ts), compressed with gzip. */
export type PackedRecord = { request: string; packed: Buffer };

const gzip = promisify(gzipCallback);

const script = loadScript(new URL('lua/add.lua', import.meta.url));

/** Most records that a process compresses and sends at a time. */
export const maxShipping = 8;

/** Milliseconds after a refusal (too many records wait) in which a process drops records without making them. */
export const fullMs = 1000;

export type RecordShipper = {
  /**
   * Sends a record to the control plane. It never rejects, and its caller need not wait. `make` is called at once, or not at
   * all; false: the record was dropped.
   */
  ship(make: () => RawRecord): Promise<boolean>;
  /** Counts a record that was not recorded. */
  dropped(): void;
  /** Since the start. */
  readonly counts: { shipped: number; dropped: number };
};

/** `redis`: a connection of its own (`best-effort`), or large records would delay other commands. */
export function createRecordShipper({
  redis,
  keys,
  now = () => performance.now(),
}: {
  redis: Redis;
  keys: Keyspace;
  now?(): number;
}): RecordShipper {
  const counts = { shipped: 0, dropped: 0 };
  let shipping = 0;
  /** Dropped here and not yet counted in Redis. */
  let uncounted = 0;
  /** While too many records wait, on the clock of `now`. */
  let fullUntil = -Infinity;

  function drop(): false {
    counts.dropped += 1;
    uncounted += 1;
    return false;
  }

  async function send(record: RawRecord): Promise<boolean> {
    // In zlib's threads.
    const packed = await gzip(frameRecord(record), { level: 1 });
    const lost = uncounted;
    uncounted = 0;
    const args = [record.head.request, packed.toString('base64'), maxWaitingRecords, lost];
    const run = runScript(redis, script, [keys.debugLog(), keys.debugState()], args);
    const reply = await run.catch((error: unknown) => {
      uncounted += lost;
      throw error;
    });
    const isAdded = reply === 1;
    if (!isAdded) fullUntil = now() + fullMs;
    counts[isAdded ? 'shipped' : 'dropped'] += 1;
    return isAdded;
  }

  return {
    async ship(make) {
      if (shipping >= maxShipping || now() < fullUntil || redis.status !== 'ready') return drop();
      shipping += 1;
      try {
        return await send(make());
      } catch {
        return drop();
      } finally {
        shipping -= 1;
      }
    },
    dropped: () => void drop(),
    counts,
  };
}

export type RedisDebugQueueOptions = { keys: Keyspace } & Pick<
  RedisEntryQueueOptions<PackedRecord>,
  'redis' | 'consumer' | 'connect' | 'onDamaged'
>;

/** The records that the control plane has not written to its files yet. */
export const createRedisDebugQueue = ({
  keys,
  ...options
}: RedisDebugQueueOptions): EntryQueue<PackedRecord> =>
  createRedisEntryQueue({
    ...options,
    group: 'debug',
    streamOf: keys.debugLog,
    async backlog() {
      const [waiting, dropped] = await Promise.all([
        options.redis.xlen(keys.debugLog()),
        options.redis.hget(keys.debugState(), records.debug.dropped),
      ]);
      return { waiting, dropped: Number(dropped ?? 0) };
    },
    decode(fields) {
      const request = fields.get(records.debug.request);
      const record = fields.get(records.debug.record);
      if (request === undefined || record === undefined) throw new Error('not a record');
      return { request, packed: Buffer.from(record, 'base64') };
    },
  });
