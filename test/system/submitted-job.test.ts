import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { keptOptions } from '@millrace/shared/store/queue/job-retention';
import { connectRedis } from '@millrace/shared/store/redis';
import type { NewRequest } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import type { Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

/*
 * A request and its job are made by our own script (packages/shared/src/store/queue/lua/submit.lua), and the job has
 * to be one of BullMQ's. Read its script addPrioritizedJob again where its version changes: see
 * bullmq-layout.test.ts, which names the version (6.7.0).
 */

const keys = keyspace();
const retentionMs = 60_000;
const options = { keys, lifetimeMs: 60_000, retentionMs };
const key = (name: string) => `${keys.tag(0)}:${queueName}:${name}`;

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let queue: ReturnType<typeof createBullQueue>;
let board: Queue;
let submit: ReturnType<typeof createRedisSubmit>;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  redis = server.connect();
  await redis.flushall();
  queue = createBullQueue({ redis, keys, shards: 1, retentionMs, onError() {} });
  board = queue.board[0] as Queue;
  // It writes its meta as soon as it is made.
  await board.waitUntilReady();
  submit = createRedisSubmit({ ...options, redis });
});
afterEach(() => queue.close());

const requestFor = (once?: NewRequest['once']): NewRequest => ({
  ...newJob(newRequestId(0, Date.now())),
  once,
});

/** Of the namespace, but for what BullMQ makes with the queue itself. */
const allKeys = async () =>
  (await redis.keys('*')).filter((name) => name !== key('meta')).toSorted();

describe('a submitted job', () => {
  test('has the fields, the events and the book-keeping of one that BullMQ 6.7.0 adds', async () => {
    const { meta, job, ...rest } = requestFor();
    const { id } = meta;
    await submit({ meta, job, ...rest });
    const ours = await redis.hgetall(key(id));
    const [ourEvents, ourCounter] = [await eventsOf(id), await redis.get(key('id'))];
    const ourMeta = await redis.hgetall(key('meta'));
    const ourMarker = await redis.zrange(key('marker'), '0', '-1', 'WITHSCORES');

    await redis.flushall();
    await board.add(job.model, job, { ...keptOptions(retentionMs), jobId: id, priority: 1 });
    const { opts, timestamp, ...fields } = await redis.hgetall(key(id));

    expect(ours).toMatchObject(fields);
    expect(JSON.parse(ours['opts'] ?? '')).toEqual(JSON.parse(opts ?? ''));
    expect(Math.abs(Number(ours['timestamp']) - Number(timestamp))).toBeLessThan(60_000);
    expect(Object.keys(ours).toSorted()).toEqual(
      Object.keys(await redis.hgetall(key(id))).toSorted(),
    );
    expect(ourEvents).toEqual(await eventsOf(id));
    expect(ourCounter).toBe(await redis.get(key('id')));
    expect(ourMarker).toEqual(await redis.zrange(key('marker'), '0', '-1', 'WITHSCORES'));
    // Of the others nothing was there before the job: what BullMQ writes beside it is what we write.
    expect(ourMeta).toMatchObject({ 'opts.maxLenEvents': '1000' });
  });

  test('wakes no worker while its queue is paused or takes no more at once', async () => {
    await board.pause();
    await submit(requestFor());
    expect(await redis.exists(key('marker'))).toBe(0);
    await board.resume();
    await redis.del(key('marker'));
    await board.setGlobalConcurrency(1);
    await redis.lpush(key('active'), 'other');
    await submit(requestFor());
    expect(await redis.exists(key('marker'))).toBe(0);
    await board.setGlobalConcurrency(2);
    await submit(requestFor());
    expect(await redis.exists(key('marker'))).toBe(1);
  });

  test('is one job also when its submission is sent again behind a lost connection', async () => {
    const proxy = await startRedisProxy(server.url);
    const cut = connectRedis(proxy.url, { name: 'cut', role: 'command' });
    try {
      const cuttable = createRedisSubmit({ ...options, redis: cut });
      // From here on Redis knows the script: the next answer is that of its run.
      await cuttable(requestFor());
      const request = requestFor();
      const lost = proxy.loseAnswer();
      const submitted = cuttable(request);
      await lost;
      expect(await submitted).toMatchObject({ kind: 'created' });
      expect(await queue.counts()).toMatchObject({ waiting: 2 });
      expect(await eventsOf(request.meta.id)).toHaveLength(2);
    } finally {
      cut.disconnect();
      await proxy.close();
    }
  });

  test('is not made by a second try once its request was ended, as it would come behind that end', async () => {
    const log = createRedisLog({ ...options, redis });
    const request = requestFor();
    await redis.script('FLUSH');
    let isWanted = true;
    const submitted = submit(request, () => isWanted);
    isWanted = false;
    const ended = log.finish(request.meta.id, 'x', 'cancelled');
    await expect(submitted).rejects.toThrow('NOSCRIPT');
    expect(await ended).toEqual({ kind: 'gone' });
    expect(await queue.counts()).toMatchObject({ waiting: 0 });
  });
});

describe('a request whose job cannot be made', () => {
  const once = { hash: 'h', fingerprint: 'f', caller: { token: 't', inbox: undefined } };
  const damages = [
    ['the sorted set of those that wait', () => key('prioritized')],
    ['the counts of the queue', () => keys.queueCounts(0)],
    ['the deadlines', () => keys.deadlines(0)],
    ['the events', () => key('events')],
    ['the marker', () => key('marker')],
    ['its own job', (id: string) => key(id)],
    ['its own request', (id: string) => keys.request(id)],
    ['its Idempotency-Key', () => keys.once(0, once.hash)],
  ] as const;

  test.each(damages)('because of %s fails alone and leaves nothing behind', async (_, damaged) => {
    const { meta, ...rest } = requestFor(once);
    const request = { meta, ...rest };
    request.job.deadlineAt = Date.now() + 60_000;
    const name = damaged(meta.id);
    await redis.set(name, 'of another type');

    await expect(submit(request)).rejects.toThrow(/WRONGTYPE/);

    const left = (await allKeys()).filter((one) => one.includes(meta.id) || one.includes('once'));
    expect(left.filter((one) => one !== name)).toEqual([]);
    expect(await redis.zscore(key('prioritized'), meta.id).catch(() => null)).toBeNull();
    await redis.del(name);
    expect(
      await submit({ ...request, ...newJob(newRequestId(0, Date.now())), once }),
    ).toMatchObject({
      kind: 'created',
    });
    expect(await queue.counts()).toMatchObject({ waiting: 1 });
  });

  test.each([
    ['its place', () => keys.finishes(0, 'normal')],
    ['its events', () => key('events')],
    ['its marker', () => key('marker')],
    ['its deadline', () => keys.deadlines(0)],
  ] as const)('because of %s is not counted among those that wait', async (_, damaged) => {
    await submit(requestFor());
    const bytes = await redis.hget(keys.queueCounts(0), 'bytes');
    expect(Number(bytes)).toBeGreaterThan(0);
    const request = requestFor();
    request.job.deadlineAt = Date.now() + 60_000;
    await redis.del(damaged());
    await redis.set(damaged(), 'of another type');
    await expect(submit(request)).rejects.toThrow(/WRONGTYPE/);
    expect(await redis.hget(keys.queueCounts(0), 'bytes')).toBe(bytes);
  });

  test('because Redis is out of memory leaves nothing behind either', async () => {
    const request = requestFor(once);
    await redis.config('SET', 'maxmemory', '1');
    try {
      await expect(submit(request)).rejects.toThrow('OOM');
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    expect(await allKeys()).toEqual([]);
    expect(await submit(request)).toMatchObject({ kind: 'created' });
  });
});

async function eventsOf(id: string): Promise<string[][]> {
  const events = await redis.xrange(key('events'), '-', '+');
  return events.map(([, fields]) => fields).filter((fields) => fields.includes(id));
}
