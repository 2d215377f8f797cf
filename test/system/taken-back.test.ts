import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { createRedisChannels } from '@millrace/shared/store/stream-log/redis-channels';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { requeueInFront } from '@millrace/shared/store/queue/held-jobs';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { Worker } from 'bullmq';
import type { Job } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// Jobs of a worker that is not to have them any more wait again, in front of all others.

const keys = keyspace();
const key = (name: string) => `${keys.tag(0)}:${queueName}:${name}`;
const onError = (error: unknown) => {
  throw error;
};

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let queue: ReturnType<typeof createBullQueue>;
let submit: Submit;
let worker: Worker;
let made = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  redis = server.connect();
  await redis.flushall();
  queue = createBullQueue({ redis, keys, shards: 1, retentionMs: 60_000, onError });
  submit = createRedisSubmit({ redis, keys, lifetimeMs: 60_000, retentionMs: 60_000 });
  const options = { connection: redis, prefix: keys.tag(0), name: 'dead', autorun: false };
  worker = new Worker(queueName, null, options);
});
afterEach(async () => {
  await worker.close();
  await queue.close();
});

const newIds = (count: number): string[] =>
  Array.from({ length: count }, () => newRequestId(0, 1_700_000_000_000 + made++));

/** Adds jobs, each a millisecond younger than the one before it; their ids. */
async function add(count: number): Promise<string[]> {
  const ids = newIds(count);
  for (const id of ids) await submit(newJob(id));
  return ids;
}

/** As ingresses did before jobs had a standing: they wait in BullMQ's plain list. */
async function addPlain(count: number): Promise<void> {
  for (const jobId of newIds(count)) await queue.board[0]?.add('m', { model: 'm' }, { jobId });
}

/** The worker takes so many jobs, as BullMQ gives them. */
async function take(count: number): Promise<Job[]> {
  const jobs: Job[] = [];
  while (jobs.length < count) {
    const job = await worker.getNextJob(`token ${jobs.length}`, { block: false });
    if (!job) throw new Error('no job');
    jobs.push(job);
  }
  return jobs;
}

/** All that Redis knows of a job. */
const known = async (id: string) => ({
  fields: await redis.hgetall(key(id)),
  lock: await redis.get(`${key(id)}:lock`),
  isActive: (await redis.lpos(key('active'), id)) !== null,
  inList: (await redis.lpos(key('wait'), id)) !== null,
  score: await redis.zscore(key('prioritized'), id),
  isStalled: await redis.sismember(key('stalled'), id),
});

/** The last events that BullMQ tells, without the ids of jobs. */
const events = async (count: number) =>
  (await redis.xrevrange(key('events'), '+', '-', 'COUNT', count)).map(([, fields]) =>
    fields.filter((_, i) => fields[i - 1] !== 'jobId'),
  );

test.each([
  ['with a standing', add],
  ['without one', addPlain],
] as const)('a job %s is then what BullMQ makes of one that it moves back', async (_, addTwo) => {
  await addTwo(2);
  const [theirs, ours] = (await take(2)) as [Job, Job];
  const [theirId = '', ourId = ''] = [theirs.id, ours.id];
  await redis.sadd(key('stalled'), theirId, ourId);
  await theirs.moveToWait('token 0');
  const theirEvents = await events(1);

  expect(await requeueInFront(redis, worker, [{ id: ourId, token: 'token 1' }])).toBe(1);

  const [its, expected] = [await known(ourId), await known(theirId)];
  // What each has of its own.
  for (const { fields } of [its, expected]) {
    for (const name of ['timestamp', 'processedOn', 'place', 'beginning', 'data', 'opts'])
      delete fields[name];
  }
  expect(its).toEqual(expected);
  expect(await events(1)).toEqual(theirEvents);
  expect(await redis.zrange(key('marker'), '0', '-1')).toEqual(['0']);
});

test('only those that are still the tokens’ are moved', async () => {
  await add(4);
  const [ours, lockless, others, ended] = (await take(4)) as [Job, Job, Job, Job];
  await redis.del(`${key(lockless.id ?? '')}:lock`);
  await redis.set(`${key(others.id ?? '')}:lock`, 'of another');
  await ended.moveToCompleted('', 'token 3', false);
  const all = [ours, lockless, others, ended].map(({ id = '' }, i) => ({
    id,
    token: `token ${i}`,
  }));

  expect(await requeueInFront(redis, worker, all)).toBe(1);

  expect(await queue.position(ours.id ?? '')).toBe(0);
  expect(await queue.counts()).toMatchObject({ waiting: 1, active: 2, completed: 1 });
  expect(await requeueInFront(redis, worker, all)).toBe(0);
});

test('a job that is damaged keeps no other one from being moved', async () => {
  const [damaged = '', whole = ''] = await add(2);
  await take(2);
  await redis.del(key(damaged));
  await redis.set(key(damaged), 'no hash');
  const jobs = [damaged, whole].map((id, i) => ({ id, token: `token ${i}` }));
  expect(await requeueInFront(redis, worker, jobs)).toBe(1);
  expect(await queue.position(whole)).toBe(0);
});

test('many of them are moved with a few scripts, and all workers are summoned to their share', async () => {
  const ids = await add(450);
  await take(450);
  const waiting = await add(2);
  const heard: string[] = [];
  const channels = createRedisChannels({
    keys,
    shards: 1,
    redis,
    connect: () => server.connect(),
    onError,
  });
  const listen = (name: string) =>
    channels.openWorker(name, {
      onFinished: onError,
      onJobsWaiting: (shard, jobs) => heard.push(`${name} ${shard} ${jobs}`),
      onGap: () => {},
    });
  const listening = [await listen('a'), await listen('b')];
  await redis.config('RESETSTAT');

  expect(await queue.takeFrom(0, 'dead')).toBe(450);

  const { groups } =
    /cmdstat_evalsha:calls=(?<calls>\d+)/.exec(await redis.info('commandstats')) ?? {};
  expect(Number(groups?.['calls'])).toBe(4);
  expect(await queue.positions([...ids, ...waiting])).toEqual(
    [...ids, ...waiting].map((_, i) => i),
  );
  await expect
    .poll(() => heard.toSorted())
    .toEqual(
      ['a', 'b'].flatMap((name) => [100, 100, 25].map((jobs) => `${name} 0 ${jobs}`)).toSorted(),
    );
  for (const one of listening) await one.close();
});

test('a worker without jobs summons nobody', async () => {
  await redis.del(key('marker'));
  expect(await queue.takeFrom(0, 'dead')).toBe(0);
  expect(await redis.exists(key('marker'))).toBe(0);
});

test('a Redis without any memory left moves them all the same', async () => {
  const ids = await add(3);
  await take(3);
  await redis.config('SET', 'maxmemory', '1');
  try {
    expect(await queue.takeFrom(0, 'dead')).toBe(3);
    expect(await queue.positions(ids)).toEqual([0, 1, 2]);
  } finally {
    await redis.config('SET', 'maxmemory', '0');
  }
});
