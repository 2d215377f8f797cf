import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import { startSweeper } from '@millrace/shared/store/queue/sweeper';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

const keys = keyspace();
const retentionMs = 400;
const onError = (error: unknown) => {
  throw error;
};

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

test('jobs of every end are gone after their retention, also when none ends any more', async () => {
  const redis = server.connect();
  const queue = createBullQueue({ redis, keys, shards: 1, retentionMs, onError });
  const submit = createRedisSubmit({ redis, keys, lifetimeMs: 60_000, retentionMs });
  const outcomes = new Map<string, ActivationOutcome>();

  async function add(priority: 'high' | 'low', outcome?: ActivationOutcome): Promise<string> {
    const id = newRequestId(0, Date.now());
    const caller = { token: id, inbox: undefined };
    const standing = { key: id, priority, weight: 1, bytes: 2 };
    if (outcome) outcomes.set(id, outcome);
    const once = { hash: id, fingerprint: 'f', caller };
    const deadlineAt = Date.now() + 60_000;
    await submit({ ...newJob(id, { standing, deadlineAt }), once });
    return id;
  }

  const completed = { kind: 'completed', summary: '' } as const;
  const failed = { kind: 'failed', reason: 'because' } as const;
  const ids: string[] = [];
  for (const priority of ['high', 'low'] as const) {
    for (const outcome of [completed, failed]) ids.push(await add(priority, outcome));
  }
  const left = await add('high');
  expect(await queue.remove(left)).toBe(true);
  const removed = await add('low');
  const [board] = queue.board;
  expect(await board?.remove(removed)).toBe(1);
  const consumer = startBullConsumer(
    {
      redis: server.connect(),
      keys,
      shards: 1,
      name: 'w',
      concurrency: 5,
      lifetimeMs: 60_000,
      onError,
    },
    async ({ id }) => outcomes.get(id) ?? completed,
  );
  await expect.poll(() => queue.counts()).toMatchObject({ completed: 2, failed: 2 });
  await consumer.close();

  // Whatever becomes of the fleet, all that belongs to a request has an end of life by now.
  const about = (await redis.keys('*')).filter((key) => key.includes('req_'));
  expect(about.length).toBeGreaterThan(ids.length);
  for (const key of about) expect([key, (await redis.pttl(key)) > 0]).toEqual([key, true]);

  const sweeper = startSweeper({ redis, keys, shards: 1, retentionMs, onError });
  try {
    await expect.poll(() => queue.counts()).toMatchObject({ completed: 0, failed: 0 });
    const job = `${keys.tag(0)}:${queueName}:req_`;
    expect((await redis.keys('*')).filter((key) => key.startsWith(job))).toEqual([]);
    // Its next round is behind the last change of BullMQ's own keys.
    const lasting = async () => {
      const all = await redis.keys('*');
      const lives = await Promise.all(all.map((key) => redis.pttl(key)));
      return all.filter((_, i) => (lives[i] ?? 0) === -1);
    };
    await expect.poll(lasting).toEqual([]);
  } finally {
    sweeper.stop();
    await queue.close();
  }
});
