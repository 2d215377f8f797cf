import { newRequestId } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { createModelFilter } from '@millrace/shared/store/queue/model-filter';
import type { Activation, ActivationOutcome, JobConsumer } from '@millrace/shared/store/queue/port';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// A worker that takes fewer jobs, or none of some models, for now.

type Run = { worker: string; activation: Activation; end(outcome: ActivationOutcome): void };
type Asked = { model?: string; key?: string; priority?: Priority };

const keys = keyspace();
const completed: ActivationOutcome = { kind: 'completed', summary: '' };
const none: ReadonlySet<string> = new Set();
const a: ReadonlySet<string> = new Set(['a']);

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let queue: ReturnType<typeof createBullQueue>;
let submit: Submit;
let runs: Run[];
let errors: unknown[];
let consumers: JobConsumer[];
let made = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  redis = server.connect();
  await redis.flushall();
  [runs, errors, consumers] = [[], [], []];
  const onError = (error: unknown) => void errors.push(error);
  queue = createBullQueue({ redis, keys, shards: 1, retentionMs: 60_000, onError });
  submit = createRedisSubmit({ redis, keys, lifetimeMs: 60_000, retentionMs: 60_000 });
});
afterEach(async () => {
  const closed = Promise.all(consumers.map((consumer) => consumer.close()));
  for (const { end } of runs) end(completed);
  await closed;
  await queue.close();
  if (errors.length > 0) throw errors[0];
});

/** Each job is a millisecond younger than the one before it. */
async function add({ model = 'a', key = 'k', priority = 'normal' }: Asked = {}): Promise<string> {
  const id = newRequestId(0, 1_700_000_000_000 + made++);
  const standing = { key, priority, weight: 1, bytes: 100 };
  await submit(newJob(id, { model, standing }));
  return id;
}

async function addMany(count: number, asked?: Asked): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await add(asked));
  return ids;
}

type Handle = (run: Run) => unknown;

/** A worker whose runs last until they are told to end, or do what they are told to at once. */
function start(places: number, { name = 'w', handle }: { name?: string; handle?: Handle } = {}) {
  const consumer = startBullConsumer(
    {
      redis: server.connect(),
      keys,
      shards: 1,
      name,
      concurrency: places,
      lifetimeMs: 60_000,
      onError: (error) => void errors.push(error),
    },
    (activation) =>
      new Promise((end) => {
        const run = { worker: name, activation, end };
        runs.push(run);
        void handle?.(run);
      }),
  );
  consumers.push(consumer);
  return consumer;
}

const ids = () => runs.map(({ activation }) => activation.id);
const endAtOnce: Handle = ({ end }) => end(completed);
const asleep = async () => {
  await expect.poll(() => redis.client('LIST')).toMatch(/cmd=bzpopmin/);
};
const bytes = async () => (await queue.stats(0)).bytes;
/** A worker that skips models has looked for a job at least once since now. */
async function hasLooked(): Promise<void> {
  await redis.config('RESETSTAT');
  await expect.poll(() => redis.info('commandstats')).toMatch(/cmdstat_evalsha:calls=([3-9]|\d\d)/);
}

describe('places', () => {
  test('that are added are used at once, and none is taken from a job', async () => {
    await addMany(12);
    const consumer = start(2);
    await expect.poll(() => queue.counts()).toMatchObject({ active: 2, waiting: 10 });
    consumer.setConcurrency(5);
    await expect.poll(() => queue.counts()).toMatchObject({ active: 5, waiting: 7 });
    // Redis counts a job as taken before the worker has started its run.
    await expect.poll(() => runs).toHaveLength(5);
    consumer.setConcurrency(2);
    for (const { end } of runs.splice(0, 4)) end(completed);
    await expect.poll(() => queue.counts()).toMatchObject({ completed: 4, active: 2, waiting: 6 });
    expect(consumer.held).toBe(2);
  });

  test('at none: nothing is taken, not even by a worker that slept; others take it', async () => {
    const consumer = start(4);
    await asleep();
    consumer.setConcurrency(0);
    start(1, { name: 'other', handle: endAtOnce });
    const added = await addMany(6);
    await expect.poll(() => queue.counts()).toMatchObject({ completed: 6 });
    expect(ids()).toEqual(added);
    expect(runs.every(({ worker }) => worker === 'other')).toBe(true);
  });

  test('from none to some: what waits is taken', async () => {
    const consumer = start(0);
    await addMany(3);
    // The stalled check of a worker that takes none goes on.
    await expect.poll(() => redis.exists(`${keys.tag(0)}:${queueName}:stalled-check`)).toBe(1);
    expect(await queue.counts()).toMatchObject({ waiting: 3, active: 0 });
    consumer.setConcurrency(2);
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 1, active: 2 });
  });

  test('that go away under a fetch: its job goes back as if it had not been taken', async () => {
    const consumer = start(4);
    await asleep();
    await queue.board[0]?.pause();
    const added = await addMany(5);
    await redis.hdel(`${keys.tag(0)}:${queueName}:meta`, 'paused');
    // The fetches wait in Redis meanwhile.
    await redis.call('CLIENT', 'PAUSE', '500', 'WRITE');
    consumer.fetchBurst(0, 4);
    consumer.setConcurrency(0);
    await redis.set('unpaused', '1');
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 5, active: 0 });
    expect(runs).toEqual([]);
    expect(await queue.positions(added)).toEqual([0, 1, 2, 3, 4]);
    await expect.poll(bytes).toBe(500);
    consumer.setConcurrency(8);
    await expect.poll(ids).toEqual(added);
    expect(runs.map(({ activation }) => activation.number)).toEqual([1, 1, 1, 1, 1]);
    await expect.poll(bytes).toBe(0);
    expect(await queue.stats(0)).toMatchObject({ taken: 5 });
  });
});

describe('a model that is skipped', () => {
  test('keeps its order, and the first job of another model is taken from behind 500 of its jobs', async () => {
    const flood = await addMany(500);
    const others = [await add({ model: 'b' }), await add({ model: 'b' })];
    const before = await queue.positions(flood);
    const consumer = start(0);
    consumer.skip(a);
    consumer.setConcurrency(2);
    await expect.poll(ids).toEqual(others);
    expect(await queue.positions(flood)).toEqual(before);
    expect(await queue.stats(0)).toMatchObject({ front: 0, bytes: 50_000 });
  });

  test('does not hide the others by any number of its jobs', async () => {
    await addMany(2300, { priority: 'high' });
    const other = await add({ model: 'b', priority: 'low' });
    const consumer = start(0);
    consumer.skip(a);
    consumer.setConcurrency(2);
    await expect.poll(ids).toEqual([other]);
  });

  test('is taken again in fair order, by a worker alone, when it is no longer skipped', async () => {
    const added = [...(await addMany(20)), ...(await addMany(10, { key: 'late' }))];
    const positions = await queue.positions(added);
    const order = added.toSorted(
      (x, y) => (positions[added.indexOf(x)] ?? 0) - (positions[added.indexOf(y)] ?? 0),
    );
    const consumer = start(0, { handle: endAtOnce });
    consumer.skip(a);
    consumer.setConcurrency(1);
    await hasLooked();
    expect(runs).toEqual([]);
    consumer.skip(none);
    await expect.poll(() => runs.length).toBe(30);
    expect(ids()).toEqual(order);
  });

  test('is found when it comes, and the others are', async () => {
    const consumer = start(4);
    consumer.skip(a);
    await hasLooked();
    await add();
    const other = await add({ model: 'b' });
    await expect.poll(ids).toEqual([other]);
    consumer.skip(new Set(['b']));
    await expect.poll(() => runs.length).toBe(2);
  });

  test('does not keep jobs of a dead worker waiting', async () => {
    const [held] = await addMany(1);
    start(1, { name: 'dead' });
    await expect.poll(ids).toEqual([held]);
    await addMany(50, { key: 'flood', priority: 'high' });
    const consumer = start(4);
    consumer.skip(a);
    await hasLooked();
    // What the worker took before it was told.
    const taken = runs.length;

    expect(await queue.takeFrom(0, 'dead')).toBe(1);
    consumer.fetchBurst(0, 1);

    await expect
      .poll(() => runs.slice(taken).map(({ worker, activation }) => [worker, activation.id]))
      .toContainEqual(['w', held]);
  });

  test('is put back where a fetch brings it that was under way', async () => {
    const consumer = start(4);
    await asleep();
    await queue.board[0]?.pause();
    const added = await addMany(3);
    await redis.hdel(`${keys.tag(0)}:${queueName}:meta`, 'paused');
    await redis.call('CLIENT', 'PAUSE', '500', 'WRITE');
    consumer.fetchBurst(0, 3);
    consumer.skip(a);
    await redis.set('unpaused', '1');
    await hasLooked();
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 3, active: 0 });
    expect(runs).toEqual([]);
    expect(await queue.positions(added)).toEqual([0, 1, 2]);
  });

  test('is skipped by several workers, which take each of the others once', async () => {
    for (let i = 0; i < 40; i++) {
      await addMany(3);
      await add({ model: 'b', key: i % 2 ? 'x' : 'y' });
    }
    for (const name of ['v', 'w']) {
      const consumer = start(0, { name, handle: endAtOnce });
      consumer.skip(a);
      consumer.setConcurrency(5);
    }
    await expect.poll(() => queue.counts()).toMatchObject({ completed: 40, waiting: 120 });
    expect(runs.every(({ activation }) => activation.data.model === 'b')).toBe(true);
    expect(new Set(ids()).size).toBe(40);
    await expect.poll(bytes).toBe(12_000);
  });

  test('does not make keys that came late go before those that were served meanwhile', async () => {
    await addMany(5, { key: 'skipped' });
    await addMany(60, { model: 'b', key: 'early' });
    const late: string[] = [];
    const handle: Handle = async ({ end }) => {
      if (runs.length === 40) late.push(...(await addMany(20, { model: 'b', key: 'late' })));
      end(completed);
    };
    const consumer = start(0, { handle });
    consumer.skip(a);
    consumer.setConcurrency(1);
    await expect.poll(() => runs.length).toBe(80);
    const share = ids()
      .slice(40, 60)
      .filter((id) => late.includes(id)).length;
    expect(share).toBeGreaterThanOrEqual(9);
    expect(share).toBeLessThanOrEqual(11);
  });

  test('leaves the share of the lower classes to others', async () => {
    const blocked = await addMany(5, { priority: 'low' });
    const low = await add({ model: 'b', priority: 'low' });
    await addMany(40, { model: 'b', priority: 'high' });
    const consumer = start(0, { handle: endAtOnce });
    consumer.skip(a);
    consumer.setConcurrency(1);
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 5, completed: 41 });
    expect(ids().indexOf(low)).toBeLessThan(12);
    expect(await queue.stats(0)).toMatchObject({ front: 0 });
    expect(await queue.positions(blocked)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('a search for a job behind many of skipped models', () => {
  /** Searches once, and counts the names of jobs that Redis reads for it. */
  async function search(filter: ReturnType<typeof createModelFilter>) {
    await redis.config('RESETSTAT');
    const found = await filter.pick(a);
    const stats = await redis.info('commandstats');
    return { found, names: Number(/cmdstat_hget:calls=(\d+)/.exec(stats)?.[1] ?? 0) };
  }

  test('reads all of them once, and then only the first ones until another job comes', async () => {
    const [bull] = queue.board;
    if (!bull) throw new Error('no queue');
    const filter = createModelFilter(redis, keys, 0, bull);
    const flood = await addMany(300);
    expect(await search(filter)).toMatchObject({ found: false });
    await addMany(3);
    // The time after which all are read again may have passed on a busy machine.
    const names = () => search(filter).then((one) => one.names);
    await expect.poll(names).toBeLessThan(60);
    const other = await add({ model: 'b' });
    expect(await queue.position(other)).toBe(303);
    expect(await search(filter)).toMatchObject({ found: true });
    expect(await queue.positions([other, ...flood.slice(0, 2)])).toEqual([0, 1, 2]);

    // Taken, and put back.
    const consumer = start(1, {
      handle: ({ end }) => (consumer.setConcurrency(0), end({ kind: 'not_yet' })),
    });
    await expect.poll(() => runs.length).toBe(1);
    expect(ids()).toEqual([other]);
    await expect.poll(() => queue.position(other)).toBe(303);
    expect(await search(filter)).toMatchObject({ found: true });
  });
});

describe('a run that ends as not yet', () => {
  test('puts its job back where it stood, with its bytes', async () => {
    const added = [...(await addMany(6)), ...(await addMany(3, { key: 'other' }))];
    const before = await queue.positions(added);
    const { lags } = (await queue.stats(0)).classes.normal;
    const consumer = start(4);
    await expect.poll(() => runs.length).toBe(4);
    await expect.poll(bytes).toBe(500);

    consumer.skip(a);
    for (const { end } of runs.splice(0).toReversed()) end({ kind: 'not_yet' });

    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 9, active: 0 });
    expect(await queue.positions(added)).toEqual(before);
    expect(await bytes()).toBe(900);
    const look = await queue.stats(0);
    expect(look.front).toBe(0);
    expect(look.classes.normal).toEqual({ waiting: 9, lags });

    consumer.setConcurrency(9);
    consumer.skip(none);
    await expect.poll(() => runs.length).toBe(9);
    expect(runs.every(({ activation }) => activation.number === 1)).toBe(true);
    await expect.poll(() => queue.stats(0)).toMatchObject({ bytes: 0, taken: 9 });
  });

  test('puts it at the head of its class that had nobody waiting any more', async () => {
    const first = await addMany(3);
    const consumer = start(3);
    await expect.poll(() => runs.length).toBe(3);
    consumer.setConcurrency(0);
    const low = await add({ priority: 'low' });
    const high = await add({ priority: 'high' });
    for (const { end } of runs.splice(0).toReversed()) end({ kind: 'not_yet' });
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 5, active: 0 });
    const late = await add({ key: 'late' });
    const line = [high, ...first, late, low];
    expect(await queue.positions(line)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('does not remember in a class that begins anew who was served before', async () => {
    await addMany(10);
    start(10);
    await expect.poll(() => runs.length).toBe(10);
    for (const { end } of runs.slice(1, 9)) end(completed);
    await expect.poll(() => queue.counts()).toMatchObject({ active: 2 });
    consumers[0]?.setConcurrency(0);
    // Somebody waits in another class, so that what is remembered is not forgotten with everything.
    await add({ priority: 'low' });
    runs[0]?.end({ kind: 'not_yet' });
    await expect.poll(() => queue.counts()).toMatchObject({ active: 1 });
    const next = await add();
    const late = await addMany(3, { key: 'late' });
    expect(await queue.position(next)).toBe(1);
    // It stood far behind, where nobody stands now.
    runs[9]?.end({ kind: 'not_yet' });
    await expect.poll(() => queue.counts()).toMatchObject({ active: 0 });
    const line = [...[0, 9].map((i) => ids()[i] ?? ''), next, ...late];
    expect(await queue.positions(line)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('completes a job whose request ended meanwhile, instead of putting it back', async () => {
    const id = await add();
    const consumer = start(1);
    await expect.poll(ids).toEqual([id]);
    // As a cancel leaves it that came while the job was neither waiting nor run.
    await redis.hset(keys.request(id), 'end', 'cancelled');
    consumer.skip(a);
    runs[0]?.end({ kind: 'not_yet' });
    await expect.poll(() => queue.counts()).toMatchObject({ completed: 1, waiting: 0, active: 0 });
  });

  test('leaves a job alone that another worker has', async () => {
    const id = await add();
    const consumer = start(1);
    await expect.poll(ids).toEqual([id]);
    consumer.setConcurrency(0);
    expect(await queue.takeFrom(0, 'w')).toBe(1);
    start(1, { name: 'other' });
    await expect.poll(() => runs.length).toBe(2);
    runs[0]?.end({ kind: 'not_yet' });
    await expect.poll(() => consumer.held).toBe(0);
    runs[1]?.end(completed);
    await expect.poll(() => queue.counts()).toMatchObject({ completed: 1, waiting: 0, active: 0 });
  });
});

describe('a worker that closes', () => {
  test('while it is at its limit, or skips all that waits, leaves the jobs where they are', async () => {
    const added = await addMany(5);
    const resting = start(0);
    const choosy = start(0, { name: 'choosy' });
    choosy.skip(a);
    choosy.setConcurrency(5);
    await hasLooked();
    await Promise.all([resting.close(), choosy.close()]);
    expect(runs).toEqual([]);
    expect(await queue.positions(added)).toEqual([0, 1, 2, 3, 4]);
  });

  test('while its place has gone ends what it holds', async () => {
    await addMany(2);
    const consumer = start(2);
    await expect.poll(() => runs.length).toBe(2);
    consumer.setConcurrency(0);
    const closed = consumer.close();
    runs[0]?.end(completed);
    runs[1]?.end({ kind: 'handed_back' });
    await closed;
    expect(await queue.counts()).toMatchObject({ completed: 1, waiting: 1, active: 0 });
  });
});
