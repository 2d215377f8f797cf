import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { Queue, Worker } from 'bullmq';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

/*
 * What the scripts in packages/shared/src/store/queue/lua know of BullMQ's keys, which are its own concern. Where its
 * version changes, read the changes of its scripts, and then this number.
 */
const version = '6.7.0';

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

test(`BullMQ is ${version}, for which the scripts of the queue were written`, () => {
  const file = join(import.meta.dirname, '../../node_modules/bullmq/package.json');
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ version });
});

test('its keys and fields are those that the scripts read and write', async () => {
  const redis = server.connect();
  const prefix = keyspace().tag(0);
  const key = (name: string) => `${prefix}:${queueName}:${name}`;
  const score = async (id: string) => Number(await redis.zscore(key('prioritized'), id));
  const options = { connection: redis, prefix };
  const queue = new Queue(queueName, options);
  const worker = new Worker(queueName, null, { ...options, name: 'w', autorun: false });
  try {
    for (const jobId of ['a', 'b']) await queue.add('model', { x: 1 }, { jobId, priority: 1 });
    // Scores rise from 2^32 with each job; a new one wakes a worker that sleeps on the marker.
    expect([await score('a'), await score('b')]).toEqual([2 ** 32 + 1, 2 ** 32 + 2]);
    expect(await redis.zrange(key('marker'), '0', '-1')).toEqual(['0']);
    expect(await redis.hgetall(key('a'))).toMatchObject({ name: 'model', data: '{"x":1}' });
    expect(await redis.hget(key('a'), 'ats')).toBeNull();

    const taken = await worker.getNextJob('token', { block: false });
    expect(taken?.id).toBe('a');
    expect(await redis.hgetall(key('a'))).toMatchObject({ pb: 'w', ats: '1' });
    expect(await redis.get(`${key('a')}:lock`)).toBe('token');
    expect(await redis.lrange(key('active'), 0, -1)).toEqual(['a']);

    // Taken back it stands in front of the others, without a lock, and keeps its count.
    await taken?.moveToWait('token');
    expect(await score('a')).toBeLessThan(await score('b'));
    expect(await redis.exists(`${key('a')}:lock`)).toBe(0);
    expect(await redis.hget(key('a'), 'ats')).toBe('1');

    const again = await worker.getNextJob('token', { block: false });
    const before = Date.now();
    await again?.moveToCompleted('done', 'token', false);
    expect(Number(await redis.zscore(key('completed'), 'a'))).toBeGreaterThanOrEqual(before);
    const other = await worker.getNextJob('token', { block: false });
    await other?.moveToFailed(new Error('no'), 'token', false);
    expect(Number(await redis.zscore(key('failed'), 'b'))).toBeGreaterThanOrEqual(before);

    await queue.pause();
    expect(await redis.hexists(key('meta'), 'paused')).toBe(1);
  } finally {
    await worker.close();
    await queue.close();
  }
});
