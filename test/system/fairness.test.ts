import { newRequestId } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import type { Activation, JobConsumer } from '@millrace/shared/store/queue/port';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

const keys = keyspace();
const onError = (error: unknown) => {
  throw error;
};

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let queue: ReturnType<typeof createBullQueue>;
let submit: Submit;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  redis = server.connect();
  await redis.flushall();
  queue = createBullQueue({ redis, keys, shards: 1, retentionMs: 60_000, onError });
  submit = createRedisSubmit({ redis, keys, lifetimeMs: 60_000, retentionMs: 60_000 });
});
afterEach(() => queue.close());

type Asked = { key?: string; priority?: Priority; weight?: number; deadlineAt?: number };

let made = 0;
/** Adds a job; its id. Each is a millisecond younger than the one before it. */
async function add({ key = 'a', priority = 'normal', weight = 1, deadlineAt }: Asked = {}) {
  const id = newRequestId(0, 1_700_000_000_000 + made++);
  const standing = { key, priority, weight, bytes: 100 };
  await submit(newJob(id, { model: key, standing, deadlineAt }));
  return id;
}

async function addMany(count: number, asked?: Asked): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await add(asked));
  return ids;
}

/** Serves so many jobs, one at a time, and then stops; their ids in the order of service. */
async function serve(count: number, meanwhile?: (served: string[]) => Promise<unknown>) {
  const served: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const handle = async ({ id }: Activation) => {
    if (served.length >= count) return { kind: 'handed_back' } as const;
    served.push(id);
    await meanwhile?.(served);
    if (served.length === count) resolve();
    return { kind: 'completed', summary: '' } as const;
  };
  const options = {
    redis,
    keys,
    shards: 1,
    name: 'one',
    concurrency: 1,
    lifetimeMs: 60_000,
    onError,
  };
  const consumer = startBullConsumer(options, handle);
  await promise;
  await consumer.close();
  return served;
}

describe('keys of one class', () => {
  test('are served in turn: the first request of one is not behind the 300 of another', async () => {
    await addMany(300, { key: 'flood' });
    const late = await add({ key: 'late' });
    expect(await queue.position(late)).toBeLessThanOrEqual(2);
    expect((await serve(3)).indexOf(late)).toBeGreaterThanOrEqual(0);
  });

  test('keep taking turns while both have requests waiting', async () => {
    await addMany(50, { key: 'flood' });
    const others = new Set(await addMany(20, { key: 'other' }));
    const served = await serve(40);
    // In every stretch both have had their half, up to the one whose turn it is.
    for (let at = 2; at <= 40; at += 2) {
      const share = served.slice(0, at).filter((id) => others.has(id)).length;
      expect(Math.abs(share - at / 2)).toBeLessThanOrEqual(1);
    }
  });

  test('share by weight', async () => {
    const heavy = new Set(await addMany(60, { key: 'heavy', weight: 3 }));
    await addMany(60, { key: 'light' });
    const share = (await serve(40)).filter((id) => heavy.has(id)).length;
    expect(share).toBeGreaterThanOrEqual(29);
    expect(share).toBeLessThanOrEqual(31);
  });

  test('gain nothing by asking one by one, and lose nothing by having waited', async () => {
    await addMany(30, { key: 'a' });
    await addMany(30, { key: 'b' });
    const single = new Set<string>();
    single.add(await add({ key: 'single' }));
    const served = await serve(30, async (sofar) => {
      // The next one only when the last one was served.
      if (single.has(sofar.at(-1) ?? '')) single.add(await add({ key: 'single' }));
    });
    const share = served.filter((id) => single.has(id)).length;
    expect(share).toBeGreaterThanOrEqual(8);
    expect(share).toBeLessThanOrEqual(11);
  });

  test('lose nothing by requests whose clients left', async () => {
    await addMany(50, { key: 'busy' });
    for (let i = 0; i < 20; i++) expect(await queue.remove(await add({ key: 'left' }))).toBe(true);
    const look = await queue.stats(Date.now());
    expect(look.classes.normal).toMatchObject({ waiting: 50, lags: new Map([['busy', 49]]) });
    const heavy = { key: 'left', weight: 3 };
    for (let i = 0; i < 20; i++) await queue.remove(await add(heavy));
    expect(await queue.position(await add({ key: 'left' }))).toBeLessThanOrEqual(2);
  });

  test('gain nothing by requests that are called off', async () => {
    await addMany(30, { key: 'busy' });
    const asked = await addMany(10, { key: 'fickle' });
    for (const id of asked.slice(0, 5)) await queue.remove(id);
    const fickle = new Set([...asked, ...(await addMany(10, { key: 'fickle' }))]);
    const served = await serve(30);
    for (let at = 1; at <= 30; at++) {
      const share = served.slice(0, at).filter((id) => fickle.has(id)).length;
      expect(share).toBeLessThanOrEqual(at / 2 + 1);
    }
    expect(served.filter((id) => fickle.has(id)).length).toBeGreaterThanOrEqual(14);
  });

  test('are served in the order they came, each for itself', async () => {
    const ids = await addMany(30);
    expect(await serve(30)).toEqual(ids);
  });
});

describe('classes', () => {
  test('go one after the other, whoever came first', async () => {
    const low = await addMany(3, { priority: 'low' });
    const normal = await addMany(3, { priority: 'normal' });
    const high = await addMany(3, { priority: 'high' });
    expect(await serve(9)).toEqual([...high, ...normal, ...low]);
  });

  test.each([
    ['normal', 'high', 12],
    ['low', 'normal', 12],
    ['low', 'high', 12],
  ] as const)(
    'give %s a share while %s has more than can be served',
    async (behind, before, by) => {
      const waiting = await add({ priority: behind });
      await addMany(40, { priority: before });
      const served = await serve(20, () => add({ priority: before, key: `other-${made}` }));
      expect(served.indexOf(waiting)).toBeGreaterThan(5);
      expect(served.indexOf(waiting)).toBeLessThan(by);
    },
  );

  test('give the last of three a share, too, of a hundredth', async () => {
    const low = await add({ priority: 'low' });
    await addMany(30, { priority: 'normal' });
    await addMany(150, { priority: 'high' });
    const served = await serve(104);
    expect(served.indexOf(low)).toBeGreaterThan(50);
  });
});

describe('a place', () => {
  test('is the number of jobs that are served before', async () => {
    await addMany(4, { key: 'a' });
    await addMany(2, { key: 'b', priority: 'high' });
    await addMany(2, { key: 'c' });
    const ids = [...(await addMany(2, { key: 'd', priority: 'low' })), await add({ key: 'a' })];
    const places = await queue.positions(ids);
    const served = await serve(9);
    expect(places).toEqual([9, 10, 8]);
    expect(served.indexOf(ids[2] ?? '')).toBe(8);
  });

  test('is none for a job that does not wait', async () => {
    expect(await queue.positions([newRequestId(0, 1)])).toEqual([undefined]);
    const id = await add();
    expect(await queue.remove(id)).toBe(true);
    expect(await queue.position(id)).toBeUndefined();
  });
});

describe('jobs of a worker that died', () => {
  const { promise: end, resolve: letGo } = Promise.withResolvers<void>();
  const consumers: JobConsumer[] = [];
  afterAll(async () => {
    letGo();
    await Promise.all(consumers.map((consumer) => consumer.close()));
  });

  const hold = (count: number) => {
    const held: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const consumer = startBullConsumer(
      {
        redis: server.connect(),
        keys,
        shards: 1,
        name: 'dead',
        concurrency: count,
        lifetimeMs: 60_000,
        onError,
      },
      async ({ id }) => {
        held.push(id);
        if (held.length === count) resolve();
        await end;
        return { kind: 'dropped' };
      },
    );
    consumers.push(consumer);
    return promise.then(() => held);
  };

  test('go before all that wait, the oldest first', async () => {
    const taken = await addMany(3, { priority: 'low' });
    expect((await hold(3)).toSorted()).toEqual(taken);
    const high = await addMany(2, { priority: 'high', key: 'b' });

    expect(await queue.takeFrom(0, 'dead')).toBe(3);

    expect(await queue.positions([...taken, ...high])).toEqual([0, 1, 2, 3, 4]);
  });

  test('count their bytes back once', async () => {
    const [id = ''] = await addMany(1);
    await hold(1);
    await expect.poll(async () => (await queue.stats(0)).bytes).toBe(0);
    await queue.takeFrom(0, 'dead');
    await add({ key: 'b' });
    expect(await queue.remove(id)).toBe(true);
    expect((await queue.stats(0)).bytes).toBe(100);
    expect(await queue.state(id)).toBe('unknown');
  });

  test('wake a worker that is asleep', async () => {
    await add();
    await hold(1);
    const marker = `${keys.tag(0)}:${queueName}:marker`;
    await redis.del(marker);
    await queue.takeFrom(0, 'dead');
    // What a worker that has nothing to do waits for, if nobody has taken it yet.
    const [marked, waiting] = await Promise.all([redis.zcard(marker), queue.counts()]);
    expect(marked === 1 || waiting.active === 1).toBe(true);
  });
});

describe('what is known of the queue', () => {
  test('are its classes, its keys and its bytes, which go with the jobs', async () => {
    const at = Date.now();
    await addMany(3, { key: 'a' });
    const [first = ''] = await addMany(2, { key: 'b', priority: 'low' });
    let look = await queue.stats(at);
    expect(look).toMatchObject({ front: 0, active: 0, taken: 0, bytes: 500, overdue: [] });
    expect(look.classes.normal).toEqual({ waiting: 3, lags: new Map([['a', 2]]) });
    expect(look.classes.low).toEqual({ waiting: 2, lags: new Map([['b', 1]]) });
    await queue.remove(first);
    await serve(2);
    look = await queue.stats(at);
    expect(look).toMatchObject({ taken: 2, bytes: 200 });
    expect(look.classes.normal).toEqual({ waiting: 1, lags: new Map([['a', 0]]) });
  });

  test('is who waits past the deadline, until it is struck', async () => {
    const at = Date.now();
    await add({ deadlineAt: at + 60_000 });
    const id = await add({ deadlineAt: at + 1000 });
    expect((await queue.stats(at)).overdue).toEqual([]);
    expect((await queue.stats(at + 1000)).overdue).toEqual([id]);
    // Whoever looked ends it; the next one is not told at once.
    expect((await queue.stats(at + 1000)).overdue).toEqual([]);
    expect((await queue.stats(at + 5000)).overdue).toEqual([id]);
    await queue.unwatchDeadlines([id]);
    expect((await queue.stats(at + 20_000)).overdue).toEqual([]);
  });

  test('is not the deadline of one that was taken, or has left', async () => {
    const at = Date.now();
    const waiting = await add({ deadlineAt: at + 60_000 });
    await queue.remove(await add({ deadlineAt: at + 60_000, key: 'b' }));
    expect(await redis.zrange(keys.deadlines(0), '0', '-1')).toEqual([waiting]);
    await serve(1);
    await expect.poll(() => redis.exists(keys.deadlines(0))).toBe(0);
  });

  test('is who waits past the deadline, however many do not wait any more', async () => {
    const at = Date.now();
    const served = Array.from({ length: 900 }, (_, i) => [String(i), newRequestId(0, i)]);
    await redis.zadd(keys.deadlines(0), ...served.flat());
    const id = await add({ deadlineAt: at - 1 });
    expect((await queue.stats(at)).overdue).toEqual([id]);
    expect(await redis.zrange(keys.deadlines(0), '0', '-1')).toEqual([id]);
  });

  test('leaves nothing in Redis without an end of life', async () => {
    await add();
    expect(await redis.pttl(keys.queueCounts(0))).toBeGreaterThan(0);
    await add({ deadlineAt: Date.now() + 1000 });
    const own = [keys.finishes(0, 'normal'), keys.queueCounts(0), keys.deadlines(0)];
    for (const key of own) expect(await redis.pttl(key)).toBeGreaterThan(0);
  });
});
