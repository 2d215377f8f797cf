import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace } from '@millrace/shared/store/keys';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import type { Activation } from '@millrace/shared/store/queue/port';
import { connectRedis } from '@millrace/shared/store/redis';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { expect, onTestFinished, test } from 'vitest';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import { startRedis } from '../kit/redis.ts';

// Redis gives a job to a worker, and the connection breaks before the worker hears of it. The command
// is sent again, and brings the next job: of the first one only Redis knows.

const keys = keyspace();

/** A consumer whose runs last until they are told to end, behind a proxy. */
async function startWorker() {
  const server = await startRedis();
  const proxy = await startRedisProxy(server.url);
  const redis = connectRedis(proxy.url, { name: 'w', role: 'command' });
  const other = server.connect();
  const retentionMs = 60_000;
  const submit = createRedisSubmit({ redis: other, keys, lifetimeMs: 60_000, retentionMs });
  const queue = createBullQueue({ redis: other, keys, shards: 1, retentionMs, onError: () => {} });
  const runs: Activation[] = [];
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  const consumer = startBullConsumer(
    { redis, keys, shards: 1, name: 'w', concurrency: 8, lifetimeMs: 60_000, onError: () => {} },
    async (activation) => {
      runs.push(activation);
      await over;
      return { kind: 'completed', summary: '' };
    },
  );
  onTestFinished(async () => {
    end();
    await consumer.close();
    await queue.close();
    redis.disconnect();
    await proxy.close();
    await server.close();
  });
  const add = async () => {
    const id = newRequestId(0, Date.now());
    await submit(newJob(id));
    return id;
  };
  return { proxy, redis, queue, runs, add, end };
}

test('a job that Redis gave in an answer that was lost is put back, and run', async () => {
  const { proxy, queue, runs, add, end } = await startWorker();
  const running = await add();
  await expect.poll(() => runs.length).toBe(1);

  // Only the answer that brings the job has its id in it.
  const lost = proxy.loseAnswer('req_0_');
  const id = await add();
  await lost;
  const next = await add();

  await expect.poll(() => runs.length).toBe(3);
  // In its second activation; the others were left alone.
  const numbers = Object.fromEntries(runs.map((run) => [run.id, run.number]));
  expect(numbers).toEqual({ [running]: 1, [id]: 2, [next]: 1 });
  expect(runs.every(({ lockLost }) => !lockLost.aborted)).toBe(true);
  end();
  await expect.poll(() => queue.counts()).toMatchObject({ active: 0, completed: 3 });
});

test('a job that Redis gave to a fetch that failed is put back, and run', async () => {
  const { redis, queue, runs, add, end } = await startWorker();
  await add();
  await expect.poll(() => runs.length).toBe(1);

  const evalsha = redis.evalsha.bind(redis) as (...args: unknown[]) => Promise<unknown>;
  let hasFailed = false;
  const failing: typeof evalsha = async (...args) => {
    const reply = await evalsha(...args);
    if (hasFailed || !JSON.stringify(reply).includes('req_0_')) return reply;
    hasFailed = true;
    throw new Error('after it has taken a job');
  };
  redis.evalsha = failing;
  const id = await add();

  await expect.poll(() => runs.length).toBe(2);
  expect(runs[1]).toMatchObject({ id, number: 2 });
  end();
  await expect.poll(() => queue.counts()).toMatchObject({ active: 0, completed: 2 });
});
