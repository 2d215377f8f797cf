import { keyspace, queueName } from '@millrace/shared/store/keys';
import { afterEach, describe, expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { eventsOf } from '../kit/events.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions } from '../kit/fleet.ts';
import { call, errorOf, jsonOf, open } from '../kit/http.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';
import { openSocket } from '../kit/socket.ts';

const quick = 'healthy:tokens=1';
const endless = 'healthy:tokens=5000,pace=20';

let fleet: Fleet;
afterEach(() => fleet?.close());

const start = async (options: FleetOptions = {}) => {
  fleet = await startFleet({ models: { quick, endless }, ...options });
};

const bearer = (key: string | undefined, more: Record<string, string> = {}) => ({
  ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  ...more,
});

const keys = [
  { id: 'a', secret: 'key-a' },
  { id: 'b', secret: 'key-b' },
  { id: 'c', secret: 'key-c', priority: 'low' },
];

const ask = (key?: string, more: Record<string, string> = {}, model = 'quick') =>
  call(`${fleet.url}/v1/chat/completions`, { body: chat(model), headers: bearer(key, more) });

const makeJob = (key?: string, more: Record<string, unknown> = {}, model = 'quick') =>
  call(`${fleet.url}/v1/jobs`, { body: { body: chat(model), ...more }, headers: bearer(key) });

const idOf = (answer: Awaited<ReturnType<typeof makeJob>>) => {
  expect(answer).toMatchObject({ status: 202 });
  return (jsonOf(answer) as { id: string }).id;
};

/** Jobs that wait, until the ingress has seen so many of them. */
async function fill(count: number, key?: string): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(idOf(await makeJob(key)));
  const seen = async () =>
    /^millrace_queue_waiting\{class="normal"\} (\d+)$/m.exec(
      await (await fetch(`${fleet.url}/metrics`)).text(),
    )?.[1];
  await expect.poll(seen, { interval: 20 }).toBe(String(count));
  return ids;
}

describe('a queue with bounds', () => {
  test('refuses with 503 and when to come back, and takes requests again once it has room', async () => {
    await start({ workers: 0, config: { limits: { queueJobs: 3 } } });
    const [first = ''] = await fill(3);
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
    const page = await (await fetch(`${fleet.url}/metrics`)).text();
    expect(page).toMatch(/^millrace_requests_shed_total\{reason="jobs"\} [3-9]/m);
    expect(page).toMatch(/^millrace_requests_admitted_total [4-9]/m);
  });

  test('keeps room for other keys: who fills it is refused with 429', async () => {
    await start({ workers: 0, config: { keys, limits: { queueJobs: 6 } } });
    await fill(3, 'key-a');
    const refused = await makeJob('key-a');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(errorOf(refused)).toMatchObject({ code: 'queue_share_exceeded' });
    idOf(await makeJob('key-b'));
  });

  test('holds so many bytes, and no more', async () => {
    await start({ workers: 0, config: { limits: { queueBytes: '1KiB' } } });
    await fill(16);
    const refused = await makeJob();
    expect(refused.status).toBe(503);
    expect(errorOf(refused)).toMatchObject({ code: 'queue_full' });
  });

  test('takes nothing above the soft limit of the memory of Redis', async () => {
    await start({ workers: 0 });
    const redis = fleet.redis.connect();
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    // Redis itself would still take it.
    await redis.config('SET', 'maxmemory', String(Math.round(used * 1.05)));
    await expect.poll(async () => (await makeJob()).status, { interval: 50 }).toBe(503);
    expect(errorOf(await makeJob())).toMatchObject({ code: 'queue_full' });
    await redis.config('SET', 'maxmemory', '0');
    idOf(await makeJob());
  });
});

describe('a request that is not made', () => {
  const admitted = async () =>
    sumOf(
      parsePrometheus((await call(`${fleet.url}/metrics`)).text),
      'millrace_requests_admitted_total',
    );

  test('because its key has no more to spend is neither admitted nor in the way of others', async () => {
    await start({
      workers: 0,
      config: {
        keys: [
          { id: 'a', secret: 'key-a', limits: { requestsPerMinute: 1 } },
          { id: 'b', secret: 'key-b' },
        ],
        limits: { queueJobs: 4 },
      },
    });
    await fill(1, 'key-a');
    for (let i = 0; i < 5; i++) expect((await makeJob('key-a')).status).toBe(429);
    idOf(await makeJob('key-b'));
    expect(await admitted()).toBe(2);
  });

  test('because it was made before is not admitted again', async () => {
    await start({ workers: 0, config: { limits: { queueJobs: 4 } } });
    const again = () =>
      call(`${fleet.url}/v1/jobs`, {
        body: { body: chat('quick') },
        headers: { 'idempotency-key': 'one' },
      });
    const id = idOf(await again());
    for (let i = 0; i < 5; i++) expect(idOf(await again())).toBe(id);
    idOf(await makeJob());
    expect(await admitted()).toBe(2);
  });
});

describe('a priority', () => {
  test('is taken from the header and from the field, and decides who goes first', async () => {
    await start({ workers: 0 });
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

  test('is not above that of the key', async () => {
    await start({ workers: 0, config: { keys } });
    const refused = await ask('key-c', { 'x-millrace-priority': 'normal' });
    expect(refused.status).toBe(403);
    expect(errorOf(refused)).toMatchObject({ code: 'priority_not_allowed' });
    expect((await makeJob('key-c', { priority: 'high' })).status).toBe(403);
    idOf(await makeJob('key-c', { priority: 'low' }));
  });
});

describe('a deadline', () => {
  test('ends a job that waits, also when nobody reads it', async () => {
    await start({ workers: 0 });
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

  test('that the expected wait would pass is refused at once, with the expectation', async () => {
    await start({
      models: { quick: 'healthy:tokens=1,first=50', endless },
      config: { limits: { workerConcurrency: 1 } },
    });
    await fillUntilKnown();
    const refused = await makeJob(undefined, { deadline: '200ms' });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(errorOf(refused)).toMatchObject({ code: 'deadline_unreachable' });
    expect(errorOf(refused)?.message).toMatch(/expected wait is \d+\.\d s/);
    idOf(await makeJob(undefined, { deadline: '10m' }));
  });
});

/** More than one place serves for a while; resolves when the ingress knows the rate. */
async function fillUntilKnown(): Promise<void> {
  await Promise.all(Array.from({ length: 150 }, () => makeJob()));
  const rate = async () =>
    Number(
      /^millrace_service_rate (\S+)$/m.exec(
        await (await fetch(`${fleet.url}/metrics`)).text(),
      )?.[1],
    );
  await expect.poll(rate, { interval: 50 }).toBeGreaterThan(0);
}

test('readers of a waiting job are told again when its place has changed, and what it comes to', async () => {
  await start({
    models: { quick: 'healthy:tokens=1,first=50', endless },
    config: { limits: { workerConcurrency: 1 } },
  });
  await fillUntilKnown();
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
