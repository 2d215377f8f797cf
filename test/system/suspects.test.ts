import { encodeEntry } from '@millrace/shared/domain/entry';
import { suspectMs } from '@millrace/shared/domain/poison';
import type { AttemptStarted, EntryId } from '@millrace/shared/domain/entry';
import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import type { Activation, JobConsumer } from '@millrace/shared/store/queue/port';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// What the death of a worker means for the jobs that it had just begun.

const keys = keyspace();

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let queue: ReturnType<typeof createBullQueue>;
let submit: Submit;
let log: ReturnType<typeof createRedisLog>;
let consumers: { consumer: JobConsumer; end(): void }[];
let condemned: string[];
let made = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  redis = server.connect();
  await redis.flushall();
  [consumers, condemned] = [[], []];
  queue = createBullQueue({ redis, keys, shards: 1, retentionMs: 60_000, onError: () => {} });
  submit = createRedisSubmit({ redis, keys, lifetimeMs: 60_000, retentionMs: 60_000 });
  log = createRedisLog({ redis, keys, retentionMs: 60_000, lifetimeMs: 60_000 });
});
afterEach(async () => {
  for (const { end } of consumers) end();
  await Promise.all(consumers.map(({ consumer }) => consumer.close()));
  await queue.close();
});

/** A request with its job; its id. Each is a millisecond younger than the one before it. */
async function add(model = 'm', deadlineAt?: number): Promise<string> {
  const id = newRequestId(0, 1_700_000_000_000 + made++);
  const standing = { key: 'k', priority: 'normal', weight: 1, bytes: 2 } as const;
  await submit(newJob(id, { model, standing, deadlineAt }));
  return id;
}

const addMany = async (count: number): Promise<string[]> => {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await add());
  return ids;
};

type WorkOptions = { notYet?: (id: string) => boolean; beginsRuns?: boolean };
type Taken = { run: number; last: EntryId; entries: number };

/** As a run does before its first call. */
async function writeFirstLine(id: string, nonce: string, { run, last: prev, entries }: Taken) {
  const last = { run, seq: 1 };
  const lines = [encodeEntry({ kind: 'attempt', data: {} as AttemptStarted })];
  expect(await log.append(0, [{ id, nonce, prev, entries, last, lines }])).toEqual(['written']);
}

/**
 * A worker that begins jobs and ends none, but for those that are `notYet`; the ids of those that it has begun.
 * Where it does not begin the runs (`beginsRuns`), it stops before the first line.
 */
function work(name: string, places: number, options: WorkOptions = {}) {
  const { notYet = () => false, beginsRuns = true } = options;
  const begun: string[] = [];
  const activations = new Map<string, Activation>();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const consumer = startBullConsumer(
    {
      redis: server.connect(),
      keys,
      shards: 1,
      name,
      concurrency: places,
      lifetimeMs: 60_000,
      onError: () => {},
    },
    async (activation) => {
      const { id, number, sealed } = activation;
      const nonce = `${id}/${number}`;
      const claim = sealed?.claim ?? { activation: number, nonce, worker: name };
      const taken = sealed?.outcome ?? (await log.seal(id, claim));
      if (beginsRuns && taken.kind === 'sealed') await writeFirstLine(id, claim.nonce, taken);
      activations.set(id, activation);
      begun.push(id);
      if (notYet(id)) return { kind: 'not_yet' };
      await ended;
      return { kind: 'dropped' };
    },
  );
  consumers.push({ consumer, end });
  return { begun, activations, consumer };
}

/** It takes no more, and its jobs are taken from it; how many of them wait again. */
async function dies(
  name: string,
  worker: ReturnType<typeof work>,
  cause: 'gone' | 'hung' = 'gone',
) {
  worker.consumer.setConcurrency(0);
  return queue.takeFrom(0, name, {
    cause,
    silentMs: 0,
    failRequest: async (id) => {
      condemned.push(id);
      const error = { message: '', type: '', param: null, code: 'poisoned_request' };
      const data = { error, httpStatus: 500, at: 0 };
      await log.finish(id, encodeEntry({ kind: 'failed', data }), 'failed');
    },
  });
}

/** Shows a first piece of the answer of the job that this worker has. */
async function show(activation: Activation | undefined): Promise<void> {
  const { id = '', sealed } = activation ?? {};
  const nonce = sealed?.claim.nonce ?? '';
  const [prev, last] = [
    { run: 1, seq: 1 },
    { run: 1, seq: 2 },
  ];
  const lines = [encodeEntry({ kind: 'chunk', text: '{}' })];
  expect(await log.append(0, [{ id, nonce, prev, entries: 2, last, lines }])).toEqual(['written']);
}

const order = (ids: readonly string[]) => queue.positions(ids);

describe('when a worker dies', () => {
  test('the only job that it had just begun goes behind those that wait, all others in front', async () => {
    const [shown = '', fresh = ''] = await addMany(2);
    const worker = work('w1', 2);
    await expect.poll(() => worker.begun).toHaveLength(2);
    await show(worker.activations.get(shown));
    const waiting = await addMany(3);

    expect(await dies('w1', worker)).toBe(2);

    expect(await order([shown, ...waiting, fresh])).toEqual([0, 1, 2, 3, 4]);
    expect(condemned).toEqual([]);
  });

  test('and a second one of the same job, that one fails and nothing else', async () => {
    const poison = await add();
    const first = work('w1', 1);
    await expect.poll(() => first.begun).toEqual([poison]);
    expect(await dies('w1', first)).toBe(1);
    const second = work('w2', 1);
    await expect.poll(() => second.begun).toEqual([poison]);

    expect(await dies('w2', second)).toBe(0);

    expect(condemned).toEqual([poison]);
    expect(await queue.state(poison)).toBe('failed');
    expect(await log.describe(poison)).toMatchObject({ ended: 'failed' });
    expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0 });
    expect(await redis.ttl(keys.request(poison))).toBeGreaterThan(0);
  });

  test('a job that it may not have read is not blamed, and fails after two deaths in which it was begun', async () => {
    const poison = await add();
    const first = work('w1', 1, { beginsRuns: false });
    await expect.poll(() => first.begun).toEqual([poison]);
    await dies('w1', first);
    expect(await redis.hmget(keys.request(poison), 'suspected', 'blamed')).toEqual(['1', null]);
    for (const name of ['w2', 'w3']) {
      expect(condemned).toEqual([]);
      // From here on its run seals the log, which is all that is known of one that dies of the body.
      const worker = work(name, 1, { beginsRuns: false });
      await expect.poll(() => worker.begun).toEqual([poison]);
      await dies(name, worker);
    }
    expect(condemned).toEqual([poison]);
  });

  test('jobs that were unread when it hung are begun together by the next worker', async () => {
    const ids = await addMany(16);
    const first = work('w1', 16, { beginsRuns: false });
    await expect.poll(() => first.begun).toHaveLength(16);
    expect(await dies('w1', first, 'hung')).toBe(16);
    const second = work('w2', 16);
    // Sooner than even a third of them would be begun one at a time.
    await expect
      .poll(() => second.begun.toSorted(), { timeout: 5 * suspectMs })
      .toEqual(ids.toSorted());
  });

  test('others that hung with it are begun one at a time by each worker, until they have shown something', async () => {
    const ids = await addMany(4);
    const first = work('w1', 4);
    await expect.poll(() => first.begun).toHaveLength(4);
    expect(await dies('w1', first, 'hung')).toBe(4);

    const second = work('w2', 4);
    await expect.poll(() => second.begun).toHaveLength(1);
    // One that is no suspect passes them, and is begun at once beside the one that is there.
    const other = await add('other');
    await expect.poll(() => second.begun).toHaveLength(2);
    expect(second.begun[1]).toBe(other);
    const [suspect = ''] = second.begun;
    expect(ids).toContain(suspect);
    expect((await queue.counts()).waiting).toBe(3);

    second.activations.get(suspect)?.shown?.();
    await expect.poll(() => second.begun).toHaveLength(3);

    // The second death finds one that has shown nothing and was a suspect before: it is to blame.
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 2, active: 3 });
    await dies('w2', second, 'hung');
    expect(condemned).toEqual([]);
  });

  test('a suspect that has shown something is begun beside others from then on', async () => {
    await addMany(3);
    const first = work('w1', 3);
    await expect.poll(() => first.begun).toHaveLength(3);
    await dies('w1', first, 'hung');
    const second = work('w2', 1);
    await expect.poll(() => second.begun).toHaveLength(1);
    const [proved = ''] = second.begun;
    second.activations.get(proved)?.shown?.();
    const name = () => redis.hget(`${keys.tag(0)}:${queueName}:${proved}`, 'name');
    await expect.poll(name).toBe('m');
    second.consumer.setConcurrency(0);
    expect(await queue.takeFrom(0, 'w2')).toBe(1);

    const third = work('w3', 3);
    // Sooner than the time of an isolation is over.
    await expect.poll(() => third.begun, { timeout: 1500 }).toHaveLength(2);
    expect(third.begun).toContain(proved);
  });

  test('its deadline is minded while it waits again', async () => {
    const deadlineAt = Date.now() + 60_000;
    const ids = [await add('m', deadlineAt), await add('m', deadlineAt)];
    const worker = work('w1', 2);
    await expect.poll(() => worker.begun).toHaveLength(2);
    expect(await dies('w1', worker)).toBe(2);
    const { overdue } = await queue.stats(deadlineAt + 1);
    expect(overdue.toSorted()).toEqual(ids.toSorted());
  });

  test('no model counts as avoided because a worker has one of its suspects', async () => {
    await addMany(2);
    const first = work('w1', 2);
    await expect.poll(() => first.begun).toHaveLength(2);
    await dies('w1', first, 'hung');
    const second = work('w2', 2);
    second.consumer.skip(new Set(['full']));
    await expect.poll(() => second.begun).toHaveLength(1);
    await expect.poll(async () => (await queue.stats(0)).skipped).toEqual(['full']);
  });

  test('a suspect whose model takes none now is not begun again and again', async () => {
    const suspect = await add('full');
    const first = work('w1', 1);
    await expect.poll(() => first.begun).toEqual([suspect]);
    await dies('w1', first, 'hung');

    const second = work('w2', 20, { notYet: (id) => id === suspect });
    await expect.poll(() => second.begun).toEqual([suspect]);
    // To begin ten others, one after the other, takes longer than to fetch it some more times.
    for (let n = 0; n < 10; n++) {
      const other = await add('other');
      await expect.poll(() => second.begun, { interval: 1 }).toContain(other);
    }
    expect(second.begun.filter((id) => id === suspect)).toHaveLength(1);
    expect((await queue.counts()).waiting).toBe(1);
  });

  test('by chance while others die without any cause, its only fresh job fails later', async () => {
    for (const name of ['x', 'y', 'z']) await dies(name, work(name, 1));
    const job = await add();
    for (let death = 1; death <= 5; death++) {
      expect(condemned).toEqual([]);
      const worker = work(`w${death}`, 1);
      await expect.poll(() => worker.begun).toEqual([job]);
      await dies(`w${death}`, worker);
    }
    expect(condemned).toEqual([job]);
  });
});
