import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import type { Activation, ActivationOutcome, JobConsumer } from '@millrace/shared/store/queue/port';
import type { Redis } from '@millrace/shared/store/redis';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// A job that is taken from a worker can come back to the same worker while its old run still ends:
// with a single worker that is certain. The end of the old run must leave the new one's job alone.

type Run = { activation: Activation; end(outcome: ActivationOutcome): void };

const keys = keyspace();
const id = newRequestId(0, Date.now());
const lockKey = `${keys.tag(0)}:${queueName}:${id}:lock`;

let server: TestRedis;
let redis: Redis;
let queue: ReturnType<typeof createBullQueue>;
let submit: Submit;
let consumer: JobConsumer;
let runs: Run[];
let errors: Error[];

beforeEach(async () => {
  server = await startRedis();
  redis = server.connect();
  [runs, errors] = [[], []];
  const onError = (error: Error) => void errors.push(error);
  queue = createBullQueue({ redis, keys, shards: 1, retentionMs: 60_000, onError });
  submit = createRedisSubmit({ redis, keys, lifetimeMs: 60_000, retentionMs: 60_000 });
  consumer = startBullConsumer(
    {
      redis: server.connect(),
      keys,
      shards: 1,
      name: 'w',
      concurrency: 8,
      lifetimeMs: 60_000,
      onError,
    },
    (activation) => new Promise((end) => runs.push({ activation, end })),
  );
});
afterEach(async () => {
  for (const { end } of runs) end({ kind: 'completed', summary: '' });
  await consumer.close();
  await queue.close();
  await server.close();
});

/** The old run and the new one of the same job. */
async function takenBack(): Promise<[Run, Run]> {
  await submit(newJob(id));
  await expect.poll(() => runs.length).toBe(1);
  expect(await queue.takeFrom(0, 'w')).toBe(1);
  await expect.poll(() => runs.length).toBe(2);
  return runs as [Run, Run];
}

const ends: ActivationOutcome[] = [
  { kind: 'dropped' },
  { kind: 'completed', summary: 'late' },
  { kind: 'failed', reason: 'late' },
  { kind: 'handed_back' },
];

test.each(ends)(
  'the old run that ends as $kind leaves the new one its job and lock',
  async (how) => {
    const [old, fresh] = await takenBack();
    expect(old.activation.lockLost.aborted).toBe(true);
    expect(fresh.activation.number).toBe(old.activation.number + 1);
    const token = await redis.get(lockKey);

    old.end(how);
    await expect.poll(() => consumer.held).toBe(1);
    // Whatever BullMQ does at the end of a run, it has done when the next job was taken.
    await submit(newJob(newRequestId(0, Date.now())));
    await expect.poll(() => runs.length).toBe(3);

    expect(await queue.state(id)).toBe('active');
    expect(await redis.get(lockKey)).toBe(token);
    // And the lock is still being kept.
    await redis.pexpire(lockKey, 1500);
    consumer.checkLocks();
    await expect.poll(() => redis.pttl(lockKey)).toBeGreaterThan(20_000);
    expect(fresh.activation.lockLost.aborted).toBe(false);

    fresh.end({ kind: 'completed', summary: 'done' });
    await expect.poll(() => queue.state(id)).toBe('completed');
    expect(errors).toEqual([]);
  },
);

test('a run whose lock somebody else has hears of it when it asks', async () => {
  await submit(newJob(id));
  await expect.poll(() => runs.length).toBe(1);
  await redis.set(lockKey, 'another', 'KEEPTTL');
  consumer.checkLocks();
  await expect.poll(() => runs[0]?.activation.lockLost.aborted).toBe(true);
  runs[0]?.end({ kind: 'completed', summary: '' });
  await expect.poll(() => consumer.held).toBe(0);
  expect(await queue.state(id)).toBe('active');
  expect(await redis.get(lockKey)).toBe('another');
});

test('the jobs of another worker are not touched', async () => {
  await submit(newJob(id));
  await expect.poll(() => runs.length).toBe(1);
  expect(await queue.takeFrom(0, 'somebody')).toBe(0);
  expect(await queue.state(id)).toBe('active');
  // Twice at once: one of them is refused by Redis.
  const both = await Promise.all([queue.takeFrom(0, 'w'), queue.takeFrom(0, 'w')]);
  expect(both.reduce((sum, count) => sum + count)).toBe(1);
});
