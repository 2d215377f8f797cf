import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';

// The hash of a job is something else in Redis: an operator's mistake, another program on the same Redis.

const keys = keyspace();
async function openQueue() {
  const server = await startRedis();
  const redis = server.connect();
  const errors: string[] = [];
  const note = (error: unknown) => errors.push(String(error));
  const options = { redis, keys, shards: 1, retentionMs: 60_000, onError: note };
  const queue = createBullQueue(options);
  const submit = createRedisSubmit({ ...options, lifetimeMs: 60_000 });
  const key = (name: string) => `${keys.tag(0)}:${queueName}:${name}`;
  const add = async (count: number) => {
    const ids = Array.from({ length: count }, () => newRequestId(0, Date.now()));
    for (const id of ids) await submit(newJob(id));
    return ids;
  };
  const damage = async (id: string) => {
    await redis.del(key(id));
    await redis.set(key(id), 'no hash');
  };
  const consume = (handle: (id: string) => Promise<void> = async () => {}) => {
    const consumer = startBullConsumer(
      {
        redis: server.connect(),
        keys,
        shards: 1,
        name: 'w',
        concurrency: 4,
        lifetimeMs: 60_000,
        onError: note,
      },
      async ({ id }) => {
        await handle(id);
        return { kind: 'completed', summary: '' };
      },
    );
    onTestFinished(async () => {
      await consumer.close();
      await queue.close();
      await server.close();
    });
    return consumer;
  };
  return { redis, queue, errors, key, add, damage, consume };
}

test('a damaged job that waits is removed and told of once, and the others are served', async () => {
  const { queue, errors, add, damage, consume, redis, key } = await openQueue();
  const ids = await add(6);
  const [, second = '', third = ''] = ids;
  await damage(second);
  await damage(third);
  const served = new Set<string>();
  // One that avoids a model looks into each job that waits.
  consume(async (id) => void served.add(id)).skip(new Set(['other']));
  await expect.poll(() => served.size).toBe(4);
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 0, active: 0, completed: 4 });
  expect(errors).toHaveLength(2);
  for (const id of [second, third]) {
    expect(errors.join()).toContain(id);
    expect(await redis.exists(key(id), `${key(id)}:lock`)).toBe(0);
    expect(await queue.state(id)).toBe('unknown');
  }
});

test('a job whose data cannot be read fails alone, and is told of once', async () => {
  const { queue, errors, add, consume, redis, key } = await openQueue();
  const [, second = ''] = await add(4);
  await redis.hset(key(second), 'data', '{"model":');
  const served = new Set<string>();
  consume(async (id) => void served.add(id));
  await expect.poll(() => queue.counts()).toMatchObject({ active: 0, completed: 3, failed: 1 });
  expect(served).not.toContain(second);
  expect(errors).toEqual([`Error: the data of the job ${second} cannot be read: it fails`]);
  expect(await redis.hget(key(second), 'failedReason')).toContain('cannot be read');
});

test('a job that is damaged while it runs is removed and told of once, and the others end', async () => {
  const { queue, errors, add, damage, consume } = await openQueue();
  const [first = '', ...rest] = await add(3);
  const running = Promise.withResolvers<void>();
  consume((id) => (id === first ? running.promise : Promise.resolve()));
  await expect.poll(() => queue.counts()).toMatchObject({ completed: rest.length });
  await damage(first);
  // Its worker would be found dead with it: the others of its jobs have to be found all the same.
  expect(await queue.takeFrom(0, 'w')).toBe(0);
  running.resolve();
  await expect.poll(() => queue.counts()).toMatchObject({ active: 0 });
  expect(errors).toHaveLength(1);
});

test('a job whose run throws fails alone, and the queue knows why', async () => {
  const { queue, errors, add, consume } = await openQueue();
  const [first = '', second = ''] = await add(2);
  consume(async (id) => {
    if (id === first) throw new Error('a bug');
  });
  await expect.poll(() => queue.counts()).toMatchObject({ completed: 1, failed: 1 });
  expect(await queue.runThrew(first)).toBe(true);
  expect(await queue.runThrew(second)).toBe(false);
  expect(errors).toEqual(['Error: a bug']);
});

test('a damaged job that nobody has taken can be removed', async () => {
  const { queue, add, damage, errors, consume } = await openQueue();
  const [only = ''] = await add(1);
  await damage(only);
  expect(await queue.remove(only)).toBe(true);
  expect(await queue.counts()).toMatchObject({ waiting: 0 });
  expect(errors).toHaveLength(1);
  consume();
});
