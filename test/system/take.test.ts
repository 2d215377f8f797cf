import { encodeEntry } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { createTake } from '@millrace/shared/store/queue/take';
import type { TakeRequest } from '@millrace/shared/store/queue/take';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { Worker } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// The script that takes jobs does for several of them what BullMQ's, the seal and the count did for one.

const keys = keyspace();
const shards = 3;
const lifetimeMs = 60_000;
const lockMs = 30_000;
const name = 'w "1"';
const onError = (error: unknown) => {
  throw error;
};

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let queue: ReturnType<typeof createBullQueue>;
let log: ReturnType<typeof createRedisLog>;
let submit: Submit;
let made = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  redis = server.connect();
  await redis.flushall();
  queue = createBullQueue({ redis, keys, shards, retentionMs: 60_000, onError });
  log = createRedisLog({ redis, keys, lifetimeMs, retentionMs: 60_000 });
  submit = createRedisSubmit({ redis, keys, lifetimeMs, retentionMs: 60_000 });
});
afterEach(() => queue.close());

const keyOf = (shard: number) => (key: string) => `${keys.tag(shard)}:${queueName}:${key}`;
const key = keyOf(0);

type Asked = { shard?: number; priority?: Priority; owner?: string; model?: string; body?: string };

/** A request and its job; each is a millisecond younger than the one before it. */
async function add({
  shard = 0,
  priority = 'normal',
  owner = 'k',
  model = 'm',
  body = '{}',
}: Asked = {}) {
  const id = newRequestId(shard, 1_700_000_000_000 + made++);
  const standing = { key: owner, priority, weight: 1, bytes: body.length };
  await submit({ ...newJob(id, { model, standing }), body });
  return id;
}

async function addMany(count: number, asked?: Asked): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await add(asked));
  return ids;
}

let calls = 0;
async function take({ shard = 0, ...ask }: Partial<TakeRequest> & { shard?: number } = {}) {
  const options = { redis, keys, shard, queue: { toKey: keyOf(shard) }, name, lockMs, lifetimeMs };
  const token = `t${calls++}`;
  const whole = { token, jobs: 16, workers: 1, uncounted: 0, skipped: new Set<string>(), ...ask };
  return createTake(options)(whole);
}

const idsOf = (taken: Awaited<ReturnType<typeof take>>) => taken?.jobs.map(({ id }) => id);

test('leaves a job as BullMQ’s own script does, field by field', async () => {
  const [ours, theirs] = [await add({ shard: 0 }), await add({ shard: 1 })];
  const connection = server.connect();
  const prefix = keys.tag(1);
  const worker = new Worker(queueName, null, { connection, prefix, name, autorun: false });
  await worker.getNextJob('t0:1', { block: false });
  await worker.close();
  calls = 0;
  const taken = await take();
  expect(taken?.jobs[0]).toMatchObject({ id: ours, number: 1, token: 't0:1', name: 'm' });

  async function left(shard: number, id: string) {
    const toKey = keyOf(shard);
    const { processedOn, timestamp, data, opts, ...hash } = await redis.hgetall(toKey(id));
    const events = await redis.xrange(toKey('events'), '-', '+');
    return {
      hash,
      has: [data !== undefined, opts !== undefined],
      took: Number(processedOn) - Number(timestamp) < 60_000,
      lock: await redis.get(`${toKey(id)}:lock`),
      lockMs: (await redis.pttl(`${toKey(id)}:lock`)) > lockMs - 5000,
      active: (await redis.lrange(toKey('active'), 0, -1)).map((one) => one === id),
      waiting: await redis.exists(toKey('prioritized'), toKey('wait')),
      events: events.map(([, fields]) => fields.map((field) => (field === id ? 'id' : field))),
    };
  }
  expect(await left(0, ours)).toEqual(await left(1, theirs));
});

describe('the order', () => {
  /** What waits in each shard, in the same order. */
  async function fill(): Promise<Map<string, number>> {
    const numbers = new Map<string, number>();
    const classes: Asked[] = [
      ...Array.from({ length: 60 }, (_, i) => ({ priority: 'high', owner: `h${i % 3}` }) as const),
      ...Array.from({ length: 12 }, () => ({ priority: 'normal' }) as const),
      ...Array.from({ length: 4 }, () => ({ priority: 'low' }) as const),
    ];
    for (const [i, asked] of classes.entries()) {
      for (let shard = 0; shard < shards; shard++) numbers.set(await add({ ...asked, shard }), i);
    }
    return numbers;
  }

  test('and the share of the lower classes are the same for one at a time and for many', async () => {
    const numbers = await fill();
    const orders: (number | undefined)[][] = [];
    for (const [shard, jobs] of [1, 7, 16].entries()) {
      const order: (number | undefined)[] = [];
      for (let left = true; left;) {
        const taken = await take({ shard, jobs });
        order.push(...(idsOf(taken) ?? []).map((id) => numbers.get(id)));
        left = taken?.left ?? false;
      }
      orders.push(order);
    }
    const [one = []] = orders;
    expect(one.toSorted((a = 0, b = 0) => a - b)).toEqual(Array.from({ length: 76 }, (_, i) => i));
    // The first of the normal class does not wait for the sixtieth of the high one.
    expect(one.indexOf(60)).toBe(10);
    for (const order of orders) expect(order).toEqual(one);
    expect(await queue.stats(0)).toMatchObject({ taken: 76 * shards, bytes: 0 });
  });

  test('has those that were taken back in front, and jobs outside of the line before them', async () => {
    const [held = ''] = await addMany(1);
    await take();
    const others = await addMany(2, { priority: 'high' });
    expect(await queue.takeFrom(0, name)).toBe(1);
    const plain = newRequestId(0, 1_700_000_000_000 + made++);
    await queue.board[0]?.add('m', {}, { jobId: plain });
    const taken = await take();
    expect(idsOf(taken)).toEqual([plain, held, ...others]);
    expect(taken?.jobs.map(({ number }) => number)).toEqual([1, 2, 1, 1]);
    // Its bytes were counted back when it was taken for the first time.
    expect(await queue.stats(0)).toMatchObject({ bytes: 0, active: 4 });
  });

  test('does not count jobs again that were counted and went back, but their bytes', async () => {
    await addMany(3);
    await take({ uncounted: 2 });
    expect(await queue.stats(0)).toMatchObject({ taken: 1, bytes: 0 });
  });
});

test.each([
  ['are no hash', (counts: string) => redis.set(counts, 'no hash')],
  ['have no number', (counts: string) => redis.hset(counts, 'taken', 'many')],
])('jobs are taken and sealed where the counts %s, and the answer says why', async (_, damage) => {
  const ids = await addMany(3);
  await redis.del(keys.queueCounts(0));
  await damage(keys.queueCounts(0));
  const taken = await take();
  expect(idsOf(taken)).toEqual(ids);
  expect(taken?.jobs.map(({ sealed }) => sealed?.outcome.kind)).toEqual(ids.map(() => 'sealed'));
  expect(taken?.countError).toMatch(/WRONGTYPE|not an integer/);
});

describe('how much one call takes', () => {
  test('is what it was asked for, and the marker tells of the rest', async () => {
    const ids = await addMany(5);
    await redis.del(key('marker'));
    expect(await take({ jobs: 3 })).toMatchObject({ left: true, jobs: { length: 3 } });
    expect(await redis.zrange(key('marker'), '0', '-1')).toEqual(['0']);
    expect(idsOf(await take({ jobs: 3 }))).toEqual(ids.slice(3));
    expect(await redis.exists(key('marker'))).toBe(0);
    expect(await take()).toEqual({ jobs: [], left: false, damaged: [], unreadable: [] });
    expect(await redis.exists(key('marker'))).toBe(0);
  });

  test('is a share of what waits where several workers take', async () => {
    await addMany(10);
    expect(await take({ workers: 4 })).toMatchObject({ left: true, jobs: { length: 3 } });
    expect(await take({ workers: 20 })).toMatchObject({ left: true, jobs: { length: 1 } });
  });

  test('ends with the job that fills it with bodies', async () => {
    const body = `{"a":"${'x'.repeat(150_000)}"}`;
    const ids = await addMany(3, { body });
    const taken = await take();
    expect(idsOf(taken)).toEqual(ids.slice(0, 2));
    expect(taken).toMatchObject({ left: true });
    expect(taken?.jobs[1]?.sealed?.outcome).toMatchObject({ kind: 'sealed', body });
    // The only one that is larger is taken all the same.
    expect(idsOf(await take())).toEqual(ids.slice(2));
  });
});

describe('a queue that BullMQ’s own script has to look at', () => {
  test.each([
    ['paused', (toKey: typeof key) => redis.hset(toKey('meta'), 'paused', 1)],
    [
      'limited to so many at once',
      (toKey: typeof key) => redis.hset(toKey('meta'), 'concurrency', 1),
    ],
    ['limited to so many in a time', (toKey: typeof key) => redis.hset(toKey('meta'), 'max', 1)],
    ['with delayed jobs', (toKey: typeof key) => redis.zadd(toKey('delayed'), 1, 'x')],
  ])('because it is %s is left as it is', async (_, change) => {
    await addMany(2);
    await change(key);
    const dump = async () => {
      const all = (await redis.keys('*')).toSorted();
      return Promise.all(
        all.map(async (one) => [one, (await redis.dumpBuffer(one))?.toString('hex')]),
      );
    };
    const before = await dump();
    expect(await take()).toBeUndefined();
    expect(await dump()).toEqual(before);
  });
});

describe('a job that cannot be run', () => {
  const line = encodeEntry({ kind: 'cancelled', data: { reason: 'a test', at: 1 } });

  test('is told alone, and the others are taken and sealed', async () => {
    const ids = await addMany(9);
    const [damaged = '', removed = '', ended = '', gone = '', fenced = '', log_ = ''] = ids;
    const [unreadable = '', unsealed = '', well = ''] = ids.slice(6);
    await redis.del(key(damaged));
    await redis.set(key(damaged), 'no hash');
    await redis.del(key(removed));
    await log.finish(ended, line, 'cancelled');
    await redis.del(keys.request(gone));
    await log.seal(fenced, { activation: 9, nonce: 'other', worker: 'other' });
    await redis.set(keys.log(log_), 'no stream');
    await redis.hset(key(unreadable), 'data', '{"model":');
    await redis.xadd(keys.log(unsealed), '1-0', 's', '{}', 'prev', 'no id');

    const taken = await take();

    expect(taken?.damaged).toEqual([damaged]);
    const outcomes = taken?.jobs.map(({ id, sealed }) => [id, sealed?.outcome.kind]);
    expect(outcomes).toEqual([
      [ended, 'ended'],
      [gone, 'gone'],
      [fenced, 'fenced'],
      // Its run will find out.
      [log_, undefined],
      [unsealed, undefined],
      [well, 'sealed'],
    ]);
    expect(taken?.jobs.map(({ token }) => token)).toEqual(
      [2, 3, 4, 5, 7, 8].map((i) => `t${calls - 1}:${i}`),
    );
    expect(taken?.unreadable).toMatchObject([{ job: { id: unreadable, number: 1 } }]);
    // The one that was removed has no hash again, and is nobody's.
    expect(await redis.exists(key(removed))).toBe(0);
    expect(await redis.lrange(key('active'), 0, -1)).toEqual([
      well,
      unsealed,
      unreadable,
      log_,
      fenced,
      gone,
      ended,
      damaged,
    ]);
  });

  test('because BullMQ has it fail is neither counted nor sealed', async () => {
    const id = await add();
    await redis.hset(key(id), 'defa', 'stalled too often');
    const taken = await take();
    expect(taken?.jobs).toMatchObject([{ id, deferredFailure: 'stalled too often' }]);
    expect(taken?.jobs[0]?.sealed).toBeUndefined();
    expect(await queue.stats(0)).toMatchObject({ taken: 0 });
    expect(await redis.exists(keys.log(id))).toBe(0);
  });

  test('because it may have to go back has no trace in its log', async () => {
    const [suspect, avoided] = [await add({ model: '(suspect)' }), await add({ model: 'a' })];
    const taken = await take({ skipped: new Set(['a']) });
    expect(idsOf(taken)).toEqual([suspect, avoided]);
    for (const { id, sealed } of taken?.jobs ?? []) {
      expect(sealed).toBeUndefined();
      expect(await redis.exists(keys.log(id))).toBe(0);
    }
  });
});

test('two workers that take at once have each job once', async () => {
  const ids = await addMany(40);
  const other = server.connect();
  const options = { keys, shard: 0, queue: { toKey: key }, lockMs, lifetimeMs };
  const workers = [redis, other].map((connection, i) => ({
    name: `w${i}`,
    take: createTake({ ...options, redis: connection, name: `w${i}` }),
    got: [] as string[],
  }));
  await Promise.all(
    workers.map(async ({ name: own, take: ask, got }) => {
      for (let left = true, i = 0; left; i++) {
        const none = { uncounted: 0, skipped: new Set<string>() };
        const taken = await ask({ token: `${own}-${i}`, jobs: 3, workers: 2, ...none });
        got.push(...(taken?.jobs ?? []).map(({ id }) => id));
        left = taken?.left ?? false;
      }
    }),
  );
  expect(workers.flatMap(({ got }) => got).toSorted()).toEqual(ids);
  for (const { name: own, got } of workers) {
    for (const id of got) expect(await redis.hget(keys.request(id), 'worker')).toBe(own);
  }
});
