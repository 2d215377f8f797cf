import type { DispatchedJob } from '@millrace/shared/domain/dispatch';
import { newRequestId } from '@millrace/shared/domain/request';
import { keyspace, queueName } from '@millrace/shared/store/keys';
import { createRedisChannels } from '@millrace/shared/store/stream-log/redis-channels';
import { createRedisLog } from '@millrace/shared/store/stream-log/redis-log';
import { loadScript, runScript } from '@millrace/shared/store/script';
import { startHeartbeat } from '@millrace/shared/store/membership/redis-heartbeat';
import { startBullConsumer } from '@millrace/shared/store/queue/bullmq-consumer';
import type { Activation, ActivationOutcome, JobConsumer } from '@millrace/shared/store/queue/port';
import { createBullQueue } from '@millrace/shared/store/queue/bullmq-queue';
import { createTake } from '@millrace/shared/store/queue/take';
import type { Submit } from '@millrace/shared/store/submit/port';
import { createRedisSubmit } from '@millrace/shared/store/submit/redis-submit';
import { newJob } from '@millrace/shared/store/submit/request.fixture';
import type { Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// A job that comes while nobody waits goes with its submission to a worker that offers a place. In Redis it then
// is what it would be if that worker had taken it (store/queue/lua/take.lua).

const keys = keyspace();
const shards = 2;
const lifetimeMs = 60_000;
const lockMs = 30_000;
const name = 'w "1"';
const onError = (error: unknown) => {
  throw error;
};
const offerScript = loadScript(
  new URL('../../packages/shared/src/store/queue/lua/offer.lua', import.meta.url),
);

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let queue: ReturnType<typeof createBullQueue>;
let board: Queue;
let log: ReturnType<typeof createRedisLog>;
let submit: Submit;
let sent: { worker: string; shard: number; job: DispatchedJob }[];
let closings: (() => Promise<unknown>)[];
let made = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  redis = server.connect();
  await redis.flushall();
  queue = createBullQueue({ redis, keys, shards, retentionMs: 60_000, onError });
  board = queue.board[0] as Queue;
  await board.waitUntilReady();
  log = createRedisLog({ redis, keys, lifetimeMs, retentionMs: 60_000 });
  submit = createRedisSubmit({ redis, keys, lifetimeMs, retentionMs: 60_000 });
  [sent, closings] = [[], []];
});
afterEach(async () => {
  await Promise.all(closings.map((close) => close()));
  await queue.close();
});

const keyOf = (shard: number) => (key: string) => `${keys.tag(shard)}:${queueName}:${key}`;
const key = keyOf(0);

/** Listens and beats as a worker does. */
async function startWorker(worker = name) {
  const { openWorker } = createRedisChannels({
    keys,
    shards,
    redis,
    connect: () => server.connect(),
    onError,
  });
  const hearing = await openWorker(worker, {
    onFinished() {},
    onJobsWaiting() {},
    onGap() {},
    onJob: (shard, job) => void sent.push({ worker, shard, job }),
  });
  const presence = await startHeartbeat({ redis, keys, shards, name: worker, onError });
  closings.push(() => Promise.all([hearing.close(), presence.leave()]));
  return { hearing, presence };
}

const offer = (places: number, { worker = name, received = 0, shard = 0, runs = 0 } = {}) =>
  runScript(
    redis,
    offerScript,
    [keys.offers(shard), keys.dispatches(shard)],
    [worker, received, places, 16, 60_000, runs],
  );

type Asked = { shard?: number; deadlineAt?: number; body?: string; once?: boolean };

function requestFor({ shard = 0, deadlineAt, body = '{"a":\n1}', once }: Asked = {}) {
  const id = newRequestId(shard, 1_700_000_000_000 + made++);
  const standing = { key: 'k', priority: 'normal', weight: 1, bytes: body.length } as const;
  const job = { model: 'm', standing, ...(deadlineAt === undefined ? {} : { deadlineAt }) };
  const key_ = { hash: `h${made}`, fingerprint: 'f', caller: { token: 't', inbox: undefined } };
  return { ...newJob(id, job), body, once: once ? key_ : undefined };
}

/** Of each added request, whether its job waits, as the script said. */
const waits: boolean[] = [];

async function add(asked?: Asked): Promise<string> {
  const request = requestFor(asked);
  const outcome = await submit(request);
  expect(outcome).toMatchObject({ kind: 'created' });
  waits.push('isWaiting' in outcome && outcome.isWaiting);
  return request.meta.id;
}

const sentIds = () => sent.map(({ job }) => job.id);

/** A submission that waits, as the worker would hear of it before this resolves if it did not. */
async function expectWaits(asked?: Asked): Promise<void> {
  const id = await add(asked);
  expect(waits.at(-1)).toBe(true);
  expect(await redis.zscore(key('prioritized'), id)).not.toBeNull();
  expect(await redis.exists(`${key(id)}:lock`, keys.log(id))).toBe(0);
  expect(await redis.lrange(key('active'), 0, -1)).not.toContain(id);
}

test('leaves a job, its log and the counts as the script that takes jobs does, and brings what that brings', async () => {
  await startWorker();
  await offer(4);
  const ours = await add({ deadlineAt: Date.now() + 60_000 });
  expect(waits.at(-1)).toBe(false);
  await expect.poll(sentIds).toEqual([ours]);
  const { job } = sent[0] as (typeof sent)[number];
  const theirs = await add({ shard: 1, deadlineAt: Date.now() + 60_000 });
  const queueOf = { toKey: keyOf(1) };
  const take = createTake({ redis, keys, shard: 1, queue: queueOf, name, lockMs, lifetimeMs });
  const ask = { token: 't', jobs: 1, workers: 1, uncounted: 0, skipped: new Set<string>() };
  const taken = (await take(ask))?.jobs[0];

  expect(job.body).toBe('{"a":\n1}');
  expect(Object.keys(JSON.parse(job.data))).toEqual(Object.keys(taken?.data ?? {}));
  expect(JSON.parse(job.opts)).toMatchObject({ jobId: ours, priority: 1 });
  const sealed = { kind: 'sealed', run: 1, entries: 1, last: { run: 0, seq: 0 } };
  expect(taken?.sealed?.outcome).toMatchObject(sealed);
  expect(await left(0, ours, job.token)).toEqual(await left(1, theirs, taken?.token ?? ''));

  async function left(shard: number, id: string, token: string) {
    const toKey = keyOf(shard);
    const { processedOn, timestamp, data, opts, ...hash } = await redis.hgetall(toKey(id));
    const { meta, sealed_at: sealedAt, nonce, ...request } = await redis.hgetall(keys.request(id));
    const events = await redis.xrange(toKey('events'), '-', '+');
    const entries = await redis.xrange(keys.log(id), '-', '+');
    const named = (fields: string[]) =>
      fields.map((field) => (field === id ? 'id' : field.replace(/"at":\d+/, '"at":0')));
    const [count, bytes] = await redis.hmget(keys.queueCounts(shard), 'taken', 'bytes');
    return {
      hash,
      request,
      has: [data, opts, meta].map((one) => one !== undefined),
      took: Math.abs(Number(processedOn) - Number(timestamp)) < 60_000,
      sealed: Math.abs(Number(sealedAt) - Date.now()) < 60_000,
      isToken: [nonce === token, (await redis.get(`${toKey(id)}:lock`)) === token],
      lockMs: (await redis.pttl(`${toKey(id)}:lock`)) > lockMs - 5000,
      active: (await redis.lrange(toKey('active'), 0, -1)).map((one) => one === id),
      waiting: await redis.exists(toKey('prioritized'), toKey('wait'), toKey('marker')),
      events: events.map(([, fields]) => named(fields)),
      log: entries.map(([entry, fields]) => [entry, named(fields)]),
      counts: [count, bytes ?? '0'],
      lives: await Promise.all(
        [toKey(id), keys.request(id), keys.log(id), keys.body(id), keys.queueCounts(shard)].map(
          async (one) => (await redis.pttl(one)) > 0,
        ),
      ),
    };
  }
});

test('its seal is that of the run: the same claim again finds it, and an older one is refused', async () => {
  await startWorker();
  await offer(4);
  const id = await add();
  await expect.poll(sentIds).toEqual([id]);
  const nonce = sent[0]?.job.token ?? '';
  expect(await log.seal(id, { activation: 1, nonce, worker: name })).toMatchObject({
    run: 1,
    entries: 1,
  });
  expect(await log.seal(id, { activation: 0, nonce: 'x', worker: 'y' })).toEqual({
    kind: 'fenced',
  });
  expect(await log.seal(id, { activation: 2, nonce: 'x', worker: 'y' })).toMatchObject({ run: 2 });
});

test('a worker gets as many as it offers, numbered, and no more; the one with the fewest runs gets them first', async () => {
  await startWorker();
  await startWorker('other');
  // A busy worker has more free places than an idle one: it is allowed more of them.
  await offer(200, { runs: 100 });
  await offer(3, { worker: 'other' });
  const ids = [await add(), await add(), await add(), await add(), await add()];
  await offer(0, { received: 2 });
  await expectWaits();
  await expect.poll(() => sentIds().toSorted()).toEqual(ids.toSorted());
  const numbers = (worker: string) =>
    sent.flatMap((one) => (one.worker === worker ? [one.job.number] : []));
  expect(numbers('other')).toEqual([1, 2, 3]);
  expect(numbers(name)).toEqual([1, 2]);
  expect(sent.slice(0, 3).every(({ worker }) => worker === 'other')).toBe(true);
  expect(await redis.hget(keys.queueCounts(0), 'taken')).toBe('5');
});

test('what is on its way is not offered again, and what was withdrawn is not sent', async () => {
  await startWorker();
  expect(await offer(4)).toEqual([0, 4]);
  await add();
  await add();
  await add();
  // It has received one of three: of four free places, as it knows them, two are taken.
  expect(await offer(4, { received: 1 })).toEqual([3, 5]);
  await add();
  await add();
  await expectWaits();
  expect(await offer(0, { received: 5 })).toEqual([5, 5]);
  await redis.del(key('prioritized'));
  await expectWaits();
});

test('the deadline of a job is watched also while its message is in flight', async () => {
  await startWorker();
  await offer(1);
  const deadlineAt = Date.now() + 60_000;
  const id = await add({ deadlineAt });
  await expect.poll(sentIds).toEqual([id]);
  expect(await redis.zscore(keys.deadlines(0), id)).toBe(String(deadlineAt));
});

test('an offer is at most as many jobs as may be on their way to one worker', async () => {
  await startWorker();
  expect(await offer(1000)).toEqual([0, 16]);
});

test('a worker beats where the key of what was dispatched is damaged', async () => {
  await redis.set(keys.dispatches(0), 'of another type');
  await startWorker();
  expect(await redis.hget(keys.beats(0), name)).not.toBeNull();
});

test('numbers go on where Redis has lost them', async () => {
  await startWorker();
  expect(await offer(4, { received: 7 })).toEqual([7, 11]);
  await add();
  await expect.poll(() => sent[0]?.job.number).toBe(8);
});

test('a submission that is sent again is not sent to a second worker', async () => {
  await startWorker();
  await offer(4);
  const request = requestFor({ once: true });
  await submit(request);
  await submit(request);
  await expect.poll(sentIds).toEqual([request.meta.id]);
  expect(await redis.hget(keys.dispatches(0), `sent:${name}`)).toBe('1');
});

describe('waits in the queue, with nothing sealed,', () => {
  beforeEach(async () => {
    await startWorker();
    await offer(4);
  });

  test('behind a job that waits', async () => {
    await redis.zadd(key('prioritized'), '0', 'other');
    await expectWaits();
    await redis.del(key('prioritized'));
    await redis.rpush(key('wait'), 'other');
    await expectWaits();
  });

  test('while the queue is paused, limited or has delayed jobs', async () => {
    await board.pause();
    await expectWaits();
    await board.resume();
    await redis.del(key('prioritized'));
    await board.setGlobalConcurrency(100);
    await expectWaits();
    await board.removeGlobalConcurrency();
    await redis.del(key('prioritized'));
    await board.setGlobalRateLimit(100, 1000);
    await expectWaits();
    await board.removeGlobalRateLimit();
    await redis.del(key('prioritized'));
    await redis.zadd(key('delayed'), '1', 'x');
    await expectWaits();
  });

  test('with a body that is too large for a message', async () => {
    await expectWaits({ body: 'x'.repeat(64 * 1024 + 1) });
  });
});

describe('a worker is sent nothing', () => {
  test('when it does not beat', async () => {
    const { presence } = await startWorker();
    await offer(4);
    // As one that stands still.
    await presence.leave();
    const [seconds, micros] = await redis.time();
    const now = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    await redis.hset(keys.beats(0), name, now - 600);
    await expectWaits();
    expect(await redis.zcard(keys.offers(0))).toBe(0);
    // Its next beat tells it that its offer is gone, and not what it was sent.
    expect(await redis.hgetall(keys.dispatches(0))).toEqual({ [`sent:${name}`]: '0' });
  });

  test('when its version before counts its beats', async () => {
    const { presence } = await startWorker();
    await offer(4);
    await presence.leave();
    await redis.hset(keys.beats(0), name, 4711);
    await expectWaits();
  });

  test('when it is on no list', async () => {
    const { presence } = await startWorker();
    await offer(4);
    await presence.leave();
    await expectWaits();
  });

  test('when it does not listen', async () => {
    const { hearing } = await startWorker();
    await offer(4);
    await hearing.close();
    await expect
      .poll(() => redis.call('PUBSUB', 'SHARDNUMSUB', keys.worker(0, name)))
      .toEqual([keys.worker(0, name), 0]);
    await expectWaits();
  });

  test('and the next one is, past as many that are gone as one submission looks at', async () => {
    await startWorker();
    await offer(2, { runs: 9 });
    for (const worker of ['a', 'b', 'c', 'd', 'e']) await offer(9, { worker });
    await expectWaits();
    await redis.del(key('prioritized'));
    const id = await add();
    await expect.poll(sentIds).toEqual([id]);
  });
});

describe('a request whose job cannot be sent', () => {
  beforeEach(async () => {
    await startWorker();
    await offer(4);
  });

  test.each([
    ['the active jobs', () => key('active')],
    ['the counts of the queue', () => keys.queueCounts(0)],
    ['the events', () => key('events')],
    ['the id counter', () => key('id')],
    ['its own job', (id: string) => key(id)],
    ['its own log', (id: string) => keys.log(id)],
    ['its own request', (id: string) => keys.request(id)],
    ['its Idempotency-Key', (_: string, hash: string) => keys.once(0, hash)],
  ] as const)('because of %s leaves nothing behind', async (_, damaged) => {
    const request = requestFor({ once: true, deadlineAt: Date.now() + 60_000 });
    const { id } = request.meta;
    const name_ = damaged(id, request.once?.hash ?? '');
    if (name_ === key('id')) await redis.set(name_, 'no number');
    else await redis.set(name_, 'of another type');
    const before = await redis.hgetall(keys.dispatches(0));

    await expect(submit(request)).rejects.toThrow(/WRONGTYPE|not an integer/);

    const names = await redis.keys('*');
    const left = names.filter((one) => one.includes(id) || one.includes(':once:'));
    expect(left.filter((one) => one !== name_)).toEqual([]);
    expect(await redis.lrange(key('active'), 0, -1).catch(() => [])).toEqual([]);
    expect(await redis.hgetall(keys.dispatches(0))).toEqual(before);
    expect(await redis.zscore(keys.offers(0), name)).toBe('0');
    await redis.del(name_);
    const next = await add();
    await expect.poll(sentIds).toEqual([next]);
  });

  test.each([
    ['offers', () => keys.offers(0)],
    ['dispatches', () => keys.dispatches(0)],
    ['beats', () => keys.beats(0)],
  ] as const)('because of the %s waits in the queue', async (_, damaged) => {
    await redis.del(damaged());
    await redis.set(damaged(), 'of another type');
    await expectWaits();
    await redis.del(damaged());
  });

  test('because of a number that is none waits in the queue', async () => {
    await redis.hset(keys.dispatches(0), `sent:${name}`, 'x');
    await expectWaits();
  });
});

describe('a consumer', () => {
  type Run = { activation: Activation; end(outcome: ActivationOutcome): void };

  async function startConsumer(concurrency: number) {
    const runs: Run[] = [];
    const attached: { consumer?: JobConsumer } = {};
    const { openWorker } = createRedisChannels({
      keys,
      shards,
      redis,
      connect: () => server.connect(),
      onError,
    });
    const hearing = await openWorker(name, {
      onFinished() {},
      onJobsWaiting() {},
      onGap: () => attached.consumer?.onGap(),
      onJob: (shard, job) => attached.consumer?.receive(shard, job),
    });
    const presence = await startHeartbeat({
      redis,
      keys,
      shards,
      name,
      onBeat: (shard, known) => attached.consumer?.onBeat(shard, known),
      onError,
    });
    const consumer = startBullConsumer(
      { redis: server.connect(), keys, shards, name, concurrency, lifetimeMs, onError },
      (activation) =>
        new Promise((end) => {
          runs.push({ activation, end });
        }),
    );
    attached.consumer = consumer;
    closings.push(async () => {
      const closed = consumer.close();
      for (const { end } of runs) end({ kind: 'completed', summary: '' });
      await closed;
      await Promise.all([hearing.close(), presence.leave()]);
    });
    return { consumer, runs };
  }

  /** How many jobs may be sent. */
  const offeredIn = async (shard: number) => {
    if ((await redis.zscore(keys.offers(shard), name)) === null) return 0;
    const fields = [`last:${name}`, `sent:${name}`] as const;
    const [last, sentSoFar] = await redis.hmget(keys.dispatches(shard), ...fields);
    return Number(last) - Number(sentSoFar);
  };
  const offered = () => offeredIn(0);

  test('runs what it is sent, and offers its places again as they are used', async () => {
    const { runs } = await startConsumer(64);
    await expect.poll(offered).toBe(16);
    for (let i = 0; i < 40; i += 1) {
      const id = await add();
      await expect.poll(() => runs.at(-1)?.activation.id, { interval: 2 }).toBe(id);
      runs.at(-1)?.end({ kind: 'completed', summary: '' });
    }
    await expect.poll(() => queue.counts()).toMatchObject({ completed: 40, active: 0 });
    expect(await redis.hget(keys.dispatches(0), `sent:${name}`)).toBe('40');
    expect(runs.every(({ activation }) => activation.number === 1)).toBe(true);
  });

  test('proves by the clock of Redis how old the seal is of what it is sent', async () => {
    const { consumer, runs } = await startConsumer(8);
    // Behind a beat, whose answer has the clock.
    await expect.poll(offered).toBe(4);
    const before = Date.now();
    await add();
    await expect.poll(() => runs.length).toBe(1);
    const at = runs[0]?.activation.sealed?.at ?? 0;
    expect(at).toBeGreaterThan(before - 500);
    expect(at).toBeLessThanOrEqual(Date.now());

    // One that has waited in a socket for three seconds.
    const { job } = requestFor();
    const [seconds] = await redis.time();
    const late = { number: 2, redisAt: (Number(seconds) - 3) * 1000, token: 't', opts: '{}' };
    consumer.receive(0, { ...late, id: 'late', data: JSON.stringify(job), body: '{}' });
    await expect.poll(() => runs.length).toBe(2);
    expect(runs[1]?.activation.sealed?.at).toBeLessThan(Date.now() - 2500);
    // It is nobody's job any more, as its lock says at once.
    await expect.poll(() => runs[1]?.activation.lockLost.aborted, { timeout: 10_000 }).toBe(true);
    runs[1]?.end({ kind: 'dropped' });
  });

  test('withdraws its offers while it avoids a model, has no places, and at its end', async () => {
    const { consumer } = await startConsumer(8);
    await expect.poll(offered).toBe(4);
    await expect.poll(() => offeredIn(1)).toBe(4);
    consumer.skip(new Set(['x']));
    await expect.poll(offered).toBe(0);
    consumer.skip(new Set());
    await expect.poll(offered).toBe(4);
    consumer.setConcurrency(0);
    await expect.poll(offered).toBe(0);
    consumer.setConcurrency(8);
    await expect.poll(offered).toBe(4);
    await consumer.close();
    expect([await offered(), await offeredIn(1)]).toEqual([0, 0]);
    await expect.poll(() => redis.exists(keys.dispatches(0), keys.dispatches(1))).toBe(0);
  });

  test('puts back what it was sent for a place that is no more, and takes it when there is one', async () => {
    const { consumer, runs } = await startConsumer(2);
    await expect.poll(offered).toBe(1);
    // Its word is behind the submission.
    const request = requestFor();
    const submitted = submit(request);
    consumer.setConcurrency(0);
    await submitted;
    await expect.poll(() => queue.counts()).toMatchObject({ active: 0, waiting: 1 });
    expect(await redis.hget(keys.queueCounts(0), 'bytes')).toBe(`${request.body.length}`);
    consumer.setConcurrency(2);
    await expect.poll(() => runs.map(({ activation }) => activation.id)).toEqual([request.meta.id]);
    expect(runs[0]?.activation.number).toBe(1);
    expect(await redis.hmget(keys.queueCounts(0), 'taken', 'bytes')).toEqual(['1', '0']);
  });

  test('offers nothing for a while after a job was lost, until its subscription is new', async () => {
    const { consumer } = await startConsumer(8);
    await expect.poll(offered).toBe(4);
    const beat = { redisAt: Date.now(), sentAt: Date.now(), last: 4 };
    consumer.onBeat(0, { ...beat, sent: 1 });
    // The next beat, and the job that was sent before the last one has not come.
    consumer.onBeat(0, { ...beat, sent: 1 });
    await expect.poll(offered).toBe(0);
    consumer.onGap();
    await expect.poll(offered).toBe(4);
  });

  test('goes on where a message cannot be read: the job waits in the queue again', async () => {
    const { consumer, runs } = await startConsumer(8);
    await expect.poll(offered).toBe(4);
    const late = { number: 1, redisAt: Date.now(), token: 't', opts: '{}', body: '{}' };
    // The errors of this consumer are thrown.
    expect(() => consumer.receive(0, { ...late, id: 'x', data: 'no JSON' })).toThrow(/JSON/);
    const id = await add();
    await expect.poll(() => runs.map(({ activation }) => activation.id)).toEqual([id]);
  });

  test('offers again when Redis has lost what it knew', async () => {
    await startConsumer(8);
    await expect.poll(offered).toBe(4);
    await redis.del(keys.offers(0), keys.dispatches(0));
    await expect.poll(offered).toBe(4);
  });
});
