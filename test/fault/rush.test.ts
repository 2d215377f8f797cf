import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace } from '@millrace/shared/store/keys';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import type { Activation, ActivationOutcome, JobConsumer } from '@millrace/shared/store/queue/port';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// After a worker's death the others fetch its jobs side by side. What BullMQ's loop would do with a job
// that it has fetched, ours has to do.

type Run = { activation: Activation; end(outcome: ActivationOutcome): void };

const keys = keyspace();
const completed: ActivationOutcome = { kind: 'completed', summary: 'stop' };

let server: TestRedis;
let queue: ReturnType<typeof createBullQueue>;
let submit: Submit;
let consumer: JobConsumer;
let runs: Run[];
let errors: Error[];

beforeEach(async () => {
  server = await startRedis();
  [runs, errors] = [[], []];
  const onError = (error: Error) => void errors.push(error);
  const redis = server.connect();
  queue = createBullQueue({ redis, keys, shards: 1, retentionMs: 60_000, onError });
  submit = createRedisSubmit({ redis, keys, lifetimeMs: 60_000, retentionMs: 60_000 });
});
afterEach(async () => {
  for (const { end } of runs) end(completed);
  await consumer.close();
  await queue.close();
  await server.close();
});

/** A consumer that sleeps, so that what is fetched is fetched by the rush. */
async function startBusy(concurrency: number): Promise<void> {
  const onError = (error: Error) => void errors.push(error);
  consumer = startBullConsumer(
    {
      redis: server.connect(),
      keys,
      shards: 1,
      name: 'w',
      concurrency,
      lifetimeMs: 60_000,
      onError,
    },
    (activation) => new Promise((end) => runs.push({ activation, end })),
  );
  // Nothing wakes the loop: it sleeps in its blocking read.
  const redis = server.connect();
  await expect.poll(() => redis.client('LIST')).toMatch(/cmd=bzpopmin/);
}

/** Adds jobs without the marker that would wake a sleeping loop. */
async function addSilently(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newRequestId(0, Date.now()));
  const redis = server.connect();
  await queue.board[0]?.pause();
  for (const id of ids) await submit(newJob(id));
  await redis.hdel(`${keys.tag(0)}:requests:meta`, 'paused');
  return ids;
}

test('every job is run once and ends as its run says', async () => {
  await startBusy(64);
  const ids = await addSilently(40);

  consumer.fetchBurst(0, 40);

  await expect.poll(() => runs.length).toBe(40);
  expect(runs.map(({ activation }) => activation.id).toSorted()).toEqual(ids.toSorted());
  expect(consumer.held).toBe(40);
  for (const [i, { end }] of runs.entries()) {
    end(i < 38 ? completed : i === 38 ? { kind: 'failed', reason: 'no' } : { kind: 'dropped' });
  }
  await expect.poll(() => queue.counts()).toMatchObject({ completed: 38, failed: 1, active: 1 });
  await expect.poll(() => consumer.held).toBe(0);
  expect(errors).toEqual([]);
});

test('takes no more jobs than the worker has places', async () => {
  await startBusy(8);
  await addSilently(30);

  consumer.fetchBurst(0, 30);

  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 22, active: 8 });
  // The places that become free are the loop's again, and all jobs come to their turn.
  await expect
    .poll(() => {
      expect(consumer.held).toBeLessThanOrEqual(8);
      for (const run of runs) run.end(completed);
      return queue.counts();
    })
    .toMatchObject({ waiting: 0, active: 0, completed: 30 });
  expect(errors).toEqual([]);
});

test('a worker that stops ends what it had rushed, and hands back what it had not begun', async () => {
  await startBusy(16);
  await addSilently(6);
  consumer.fetchBurst(0, 6);
  await expect.poll(() => runs.length).toBe(6);

  const closed = consumer.close();
  for (const [i, { end }] of runs.entries()) end(i < 3 ? completed : { kind: 'handed_back' });
  await closed;

  expect(await queue.counts()).toMatchObject({ completed: 3, waiting: 3, active: 0 });
  expect(errors).toEqual([]);
});

test('a worker that stops while it rushes hands back what still comes', async () => {
  await startBusy(16);
  await addSilently(6);
  const redis = server.connect();
  // The fetches wait in Redis until the worker has no other reason to stay.
  await redis.call('CLIENT', 'PAUSE', '1000', 'WRITE');

  consumer.fetchBurst(0, 6);
  await consumer.close();

  expect(await queue.counts()).toMatchObject({ waiting: 6, active: 0 });
  expect(runs).toEqual([]);
  expect(errors).toEqual([]);
});

test('a job that is handed back while Redis refuses for now is run again when it does not', async () => {
  await startBusy(16);
  await addSilently(1);
  const redis = server.connect();
  consumer.fetchBurst(0, 1);
  await expect.poll(() => runs.length).toBe(1);

  await redis.replicaof('127.0.0.1', 1);
  await redis.config('RESETSTAT');
  runs[0]?.end({ kind: 'handed_back' });
  await expect.poll(() => redis.info('errorstats')).toContain('errorstat_READONLY');
  await redis.replicaof('NO', 'ONE');

  await expect.poll(() => runs.length).toBe(2);
  expect(runs[1]?.activation).toMatchObject({ id: runs[0]?.activation.id, number: 2 });
});
