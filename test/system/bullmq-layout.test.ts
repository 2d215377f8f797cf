import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import {
  bullJob,
  bullKey,
  bullMeta,
  bullVersion,
} from '@millrace/shared/store/queue/bullmq-layout';
import { Queue, Worker } from 'bullmq';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

test(`BullMQ is ${bullVersion}, for which the scripts of the queue were written`, () => {
  const file = join(import.meta.dirname, '../../node_modules/bullmq/package.json');
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ version: bullVersion });
});

test('its keys and fields are those that the scripts read and write', async () => {
  const redis = server.connect();
  const prefix = keyspace().tag(0);
  const key = (name: string) => `${prefix}:${queueName}:${name}`;
  const score = async (id: string) => Number(await redis.zscore(key(bullKey.prioritized), id));
  const options = { connection: redis, prefix };
  const queue = new Queue(queueName, options);
  const worker = new Worker(queueName, null, { ...options, name: 'w', autorun: false });
  try {
    for (const jobId of ['a', 'b']) await queue.add('model', { x: 1 }, { jobId, priority: 1 });
    // Scores rise from 2^32 with each job; a new one wakes a worker that sleeps on the marker.
    expect([await score('a'), await score('b')]).toEqual([2 ** 32 + 1, 2 ** 32 + 2]);
    expect(await redis.zrange(key(bullKey.marker), '0', '-1')).toEqual(['0']);
    expect(await redis.hgetall(key('a'))).toMatchObject({
      [bullJob.name]: 'model',
      [bullJob.data]: '{"x":1}',
      [bullJob.options]: expect.stringContaining('"priority":1'),
      [bullJob.timestamp]: expect.stringMatching(/^\d+$/),
      [bullJob.delay]: '0',
      [bullJob.priority]: '1',
    });
    expect(await redis.hget(key('a'), bullJob.attemptsStarted)).toBeNull();

    const taken = await worker.getNextJob('token', { block: false });
    expect(taken?.id).toBe('a');
    expect(await redis.hgetall(key('a'))).toMatchObject({
      [bullJob.processedBy]: 'w',
      [bullJob.processedOn]: expect.stringMatching(/^\d+$/),
      [bullJob.attemptsStarted]: '1',
    });
    expect(await redis.get(`${key('a')}${bullKey.lock}`)).toBe('token');
    expect(await redis.lrange(key(bullKey.active), 0, -1)).toEqual(['a']);

    // Taken back it stands in front of the others, without a lock, and keeps its count.
    await taken?.moveToWait('token');
    expect(await score('a')).toBeLessThan(await score('b'));
    expect(await redis.exists(`${key('a')}${bullKey.lock}`)).toBe(0);
    expect(await redis.hget(key('a'), bullJob.attemptsStarted)).toBe('1');

    const again = await worker.getNextJob('token', { block: false });
    const before = Date.now();
    await again?.moveToCompleted('done', 'token', false);
    expect(Number(await redis.zscore(key(bullKey.completed), 'a'))).toBeGreaterThanOrEqual(before);
    expect(await redis.hgetall(key('a'))).toMatchObject({
      [bullJob.returnValue]: '"done"',
      [bullJob.finishedOn]: expect.stringMatching(/^\d+$/),
      [bullJob.attemptsMade]: '1',
    });
    const other = await worker.getNextJob('token', { block: false });
    await other?.moveToFailed(new Error('no'), 'token', false);
    expect(Number(await redis.zscore(key(bullKey.failed), 'b'))).toBeGreaterThanOrEqual(before);

    expect(await redis.hgetall(key('b'))).toMatchObject({
      [bullJob.failedReason]: 'no',
      [bullJob.stackTrace]: expect.stringContaining('Error: no'),
    });

    expect(await redis.hexists(key(bullKey.meta), bullMeta.maxLenEvents)).toBe(1);
    await queue.setGlobalConcurrency(3);
    expect(await redis.hget(key(bullKey.meta), bullMeta.concurrency)).toBe('3');
    await queue.setGlobalRateLimit(7, 1000);
    expect(await redis.hget(key(bullKey.meta), bullMeta.max)).toBe('7');
    await queue.pause();
    expect(await redis.hexists(key(bullKey.meta), bullMeta.paused)).toBe(1);
  } finally {
    await worker.close();
    await queue.close();
  }
});
