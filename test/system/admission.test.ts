import { keyspace, queueName } from '@millrace/shared/store/keys';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { chat } from '../kit/api.ts';
import { eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions } from '../kit/fleet.ts';
import { call, errorOf, jsonOf, open } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

const quick = 'healthy:tokens=1';

let fleet: Fleet;
const start = async (options: FleetOptions = {}) => {
  fleet = await startFleet({ models: { quick }, ...options });
};

const bearer = (key: string | undefined, more: Record<string, string> = {}) => ({
  ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  ...more,
});

const keys = [
  { id: 'a', secret: 'key-a' },
  { id: 'b', secret: 'key-b' },
  { id: 'c', secret: 'key-c', priority: 'low' },
  { id: 'spent', secret: 'key-spent', limits: { requestsPerMinute: 1 } },
];

const ask = (key?: string, more: Record<string, string> = {}) =>
  call(`${fleet.url}/v1/chat/completions`, { body: chat('quick'), headers: bearer(key, more) });

/** The jobs that were made, and by whom. */
const made = new Map<string, string | undefined>();

async function makeJob(
  key?: string,
  more: Record<string, unknown> = {},
  headers: Record<string, string> = {},
) {
  const answer = await call(`${fleet.url}/v1/jobs`, {
    body: { body: chat('quick'), ...more },
    headers: bearer(key, headers),
  });
  if (answer.status === 202) made.set((jsonOf(answer) as { id: string }).id, key);
  return answer;
}

const idOf = (answer: Awaited<ReturnType<typeof makeJob>>) => {
  expect(answer).toMatchObject({ status: 202 });
  return (jsonOf(answer) as { id: string }).id;
};

const scraped = async (name: string, labels: Record<string, string> = {}) =>
  sumOf(parsePrometheus((await call(`${fleet.url}/metrics`)).text), name, labels);
const admitted = () => scraped('millrace_requests_admitted_total');
/** As the ingress has seen it. */
const waiting = () => scraped('millrace_queue_waiting', { class: 'normal' });

/** Jobs that wait, until the ingress has seen so many of them. */
async function fill(count: number, key?: string): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(idOf(await makeJob(key)));
  await expect.poll(waiting, { interval: 20 }).toBe(count);
  return ids;
}

/** More than one place serves for a while; resolves when the ingress knows the rate. */
async function fillUntilKnown(): Promise<void> {
  await Promise.all(Array.from({ length: 200 }, () => makeJob()));
  const isKnown = async () => expect(await scraped('millrace_service_rate')).toBeGreaterThan(0);
  await vi.waitFor(isKnown, { timeout: 30_000, interval: 50 });
}

describe('without a worker', () => {
  beforeAll(() => start({ workers: 0, ingresses: 0 }));
  afterAll(() => fleet?.close());
  // None of a test's workers, and none of its jobs, is there behind it, and the ingress has seen that.
  afterEach(async () => {
    await fleet.killWorkers();
    const cancel = ([id, key]: [string, string | undefined]) =>
      call(`${fleet.url}/v1/jobs/${id}`, { method: 'DELETE', headers: bearer(key) });
    await Promise.all([...made].map(cancel));
    made.clear();
    const empty = async () => expect(await scraped('millrace_queue_waiting')).toBe(0);
    await vi.waitFor(empty, { timeout: 30_000, interval: 20 });
  });

  describe('and with no keys', () => {
    beforeAll(() => fleet.replaceIngress({ limits: { queueJobs: 4 } }));

    test('a queue with bounds refuses with 503 and when to come back, and takes requests again once it has room', async () => {
      const before = await admitted();
      const [first = ''] = await fill(4);
      for (const refused of [await ask(), await makeJob()]) {
        expect(refused.status).toBe(503);
        expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
        expect(errorOf(refused)).toMatchObject({ type: 'server_error', code: 'queue_full' });
      }
      const socket = await openSocket(fleet.url);
      socket.send({ type: 'create', ref: 'x', body: chat('quick') });
      expect(await socket.next(({ type }) => type === 'error')).toMatchObject({
        ref: 'x',
        error: { code: 'queue_full' },
      });
      await socket.close();
      await call(`${fleet.url}/v1/jobs/${first}`, { method: 'DELETE' });
      await expect.poll(async () => (await makeJob()).status, { interval: 50 }).toBe(202);
      expect(
        await scraped('millrace_requests_shed_total', { reason: 'jobs' }),
      ).toBeGreaterThanOrEqual(3);
      expect(await admitted()).toBe(before + 5);
    });

    test('a request that was made before is not admitted again', async () => {
      const before = await admitted();
      const again = () => makeJob(undefined, {}, { 'idempotency-key': 'one' });
      const id = idOf(await again());
      for (let i = 0; i < 5; i++) expect(idOf(await again())).toBe(id);
      idOf(await makeJob());
      expect(await admitted()).toBe(before + 2);
    });

    test('a priority is taken from the header and from the field, and decides who goes first', async () => {
      idOf(await makeJob());
      const low = idOf(await makeJob(undefined, { priority: 'low' }));
      const high = idOf(await makeJob(undefined, { priority: 'high' }));
      const place = async (id: string) =>
        (jsonOf(await call(`${fleet.url}/v1/jobs/${id}`)) as { queue_position: number })
          .queue_position;
      expect([await place(high), await place(low)]).toEqual([0, 2]);
      const wrong = await ask(undefined, { 'x-millrace-priority': 'urgent' });
      expect(wrong.status).toBe(400);
      expect(errorOf(wrong)).toMatchObject({ param: 'x-millrace-priority' });
    });

    test('a deadline ends a job that waits, also when nobody reads it', async () => {
      const redis = fleet.redis.connect();
      const id = idOf(await makeJob(undefined, { deadline: '300ms' }));
      const waiting = `${keyspace().tag(0)}:${queueName}:prioritized`;
      await expect.poll(() => redis.zcard(waiting), { interval: 50 }).toBe(0);
      expect(await redis.zcard(keyspace().deadlines(0))).toBe(0);
      await fleet.addWorker();
      expect(fleet.primary.requests).toEqual([]);
      expect(jsonOf(await call(`${fleet.url}/v1/jobs/${id}`))).toMatchObject({
        status: 'failed',
        error: { code: 'deadline_exceeded' },
      });
    });
  });

  describe('and with keys', () => {
    beforeAll(() => fleet.replaceIngress({ keys, limits: { queueJobs: 6 } }));

    test('a queue with bounds keeps room for other keys: who fills it is refused with 429', async () => {
      await fill(3, 'key-a');
      const refused = await makeJob('key-a');
      expect(refused.status).toBe(429);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(errorOf(refused)).toMatchObject({ code: 'queue_share_exceeded' });
      idOf(await makeJob('key-b'));
    });

    test('a request whose key has no more to spend is neither admitted nor in the way of others', async () => {
      const before = await admitted();
      await fill(1, 'key-spent');
      for (let i = 0; i < 5; i++) expect((await makeJob('key-spent')).status).toBe(429);
      idOf(await makeJob('key-b'));
      expect(await admitted()).toBe(before + 2);
    });

    test('a priority is not above that of the key', async () => {
      const refused = await ask('key-c', { 'x-millrace-priority': 'normal' });
      expect(refused.status).toBe(403);
      expect(errorOf(refused)).toMatchObject({ code: 'priority_not_allowed' });
      expect((await makeJob('key-c', { priority: 'high' })).status).toBe(403);
      idOf(await makeJob('key-c', { priority: 'low' }));
    });
  });

  test('a queue takes nothing above the soft limit of the memory of Redis', async () => {
    await fleet.replaceIngress();
    const redis = fleet.redis.connect();
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    // Redis itself would still take it.
    await redis.config('SET', 'maxmemory', String(Math.round(used * 1.05)));
    try {
      await expect.poll(async () => (await makeJob()).status, { interval: 50 }).toBe(503);
      expect(errorOf(await makeJob())).toMatchObject({ code: 'queue_full' });
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    idOf(await makeJob());
  });

  test('a queue with bounds holds so many bytes, and no more', async () => {
    await fleet.replaceIngress({ limits: { queueBytes: '1KiB' } });
    await fill(16);
    const refused = await makeJob();
    expect(refused.status).toBe(503);
    expect(errorOf(refused)).toMatchObject({ code: 'queue_full' });
  });
});

describe('with a worker that is slower than the requests come', () => {
  beforeAll(async () => {
    await start({
      models: { quick: 'healthy:tokens=1,first=50' },
      config: { limits: { workerConcurrency: 1 } },
    });
    await fillUntilKnown();
  });
  afterAll(() => fleet?.close());
  test('a deadline that the expected wait would pass is refused at once, with the expectation', async () => {
    const refused = await makeJob(undefined, { deadline: '200ms' });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(errorOf(refused)).toMatchObject({ code: 'deadline_unreachable' });
    expect(errorOf(refused)?.message).toMatch(/expected wait is \d+\.\d s/);
    idOf(await makeJob(undefined, { deadline: '10m' }));
  });

  test('readers of a waiting job are told again when its place has changed, and what it comes to', async () => {
    // At least three seconds of work, whatever is left of what came before.
    await Promise.all(Array.from({ length: 60 }, () => makeJob()));
    const last = idOf(await makeJob());
    expect(jsonOf(await call(`${fleet.url}/v1/jobs/${last}`))).toMatchObject({
      status: 'queued',
      queue_position: expect.any(Number),
      estimated_wait_ms: expect.any(Number),
    });
    const reader = open(`${fleet.url}/v1/jobs/${last}/events`);
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'subscribe', id: last });
    const told = () =>
      eventsOf(reader.text)
        .filter(({ event }) => event === 'queued')
        .map(({ data }) => JSON.parse(data) as { position: number; estimated_wait_ms?: number });
    await reader.until(() => told().length >= 2);
    const [one, two] = told();
    expect(two?.position).toBeLessThan(one?.position ?? 0);
    expect(two?.estimated_wait_ms).toBeGreaterThan(0);
    const positions = () =>
      socket.frames
        .filter(({ type }) => type === 'queued')
        .map(({ data }) => (data as { position: number }).position);
    await socket.next(() => positions().length >= 2);
    expect(new Set(positions()).size).toBe(positions().length);
    await socket.close();
    reader.leave();
  });
});
