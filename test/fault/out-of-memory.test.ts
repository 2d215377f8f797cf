import type { Redis } from '@millrace/shared/store/redis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, cancelJob, createJob, eventsOf, follow, getJob } from '../kit/client.ts';
import { chunks, expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectAlive, expectClosed, expectEmpty, observeQueue } from '../kit/observe.ts';

let fleet: Fleet;
let redis: Redis;

beforeAll(async () => {
  fleet = await startFleet({
    models: {
      long: 'healthy:tokens=2000,pace=10',
      middle: 'healthy:tokens=100,pace=50',
      short: 'healthy:tokens=10',
    },
  });
  redis = fleet.redis.connect();
});
beforeEach(() => fleet.primary.reset());
afterEach(async () => {
  await makeRoom();
  await expectEmpty(observeQueue(fleet));
});
afterAll(() => fleet?.close());

/** From here on Redis has more than it may have, as after a flood: deterministic, without the flood. */
const runOut = () => redis.config('SET', 'maxmemory', '1');
const makeRoom = () => redis.config('SET', 'maxmemory', '0');

test('new work is refused with 503 and Retry-After while Redis is out of memory', async () => {
  await runOut();

  for (const stream of [ask(fleet.url, 'middle'), askWhole(fleet.url, 'middle')]) {
    const { head, error } = await readPlain(stream);
    expect(head.status).toBe(503);
    expect(Number(head.headers['retry-after'])).toBeGreaterThan(0);
    expect(error).toMatchObject({ type: 'server_error', param: null, code: expect.any(String) });
    expect(error?.message).toMatch(/try again/);
  }
  const job = await fetch(`${fleet.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ body: { model: 'middle', messages: [{ role: 'user', content: '' }] } }),
  });
  expect(job.status).toBe(503);
  expect(Number(job.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await job.json()).toMatchObject({ error: { type: 'server_error' } });
  expect(fleet.primary.requests).toEqual([]);

  await makeRoom();
  await expectWhole(ask(fleet.url, 'short'), expectedText({ tokens: 10 }));
  await expectEmpty(observeQueue(fleet));
  expectAlive([...fleet.ingresses, ...fleet.workers]);
});

test('running streams go on to their proper end while Redis is out of memory', async () => {
  const plain = Array.from({ length: 5 }, () => ask(fleet.url, 'middle'));
  const ids = await Promise.all(plain.map(() => createJob(fleet.url, 'middle')));
  const jobs = ids.map((id) => follow(fleet.url, id));
  await Promise.all([...plain, ...jobs].map((stream) => stream.until(chunks(5))));

  await runOut();

  // All of them are shown more, and then the rest.
  await Promise.all(
    [...plain, ...jobs].map(async (stream) => {
      const seen = stream.events.length;
      await stream.until(({ events }) => events.length > seen + 5);
    }),
  );
  fleet.hurry();
  for (const stream of plain) await expectWhole(stream, expectedText({ tokens: 100 }));
  await Promise.all(jobs.map(({ ended }) => ended));
  for (const { events } of jobs) {
    expect(readStory(events)).toMatchObject({ end: 'done', text: expectedText({ tokens: 100 }) });
  }
  // They can be read again, too: by a new reader, and as a whole.
  const [id = ''] = ids;
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('done');
  expect((await getJob(fleet.url, id)).status).toBe('completed');
  expectAlive([...fleet.ingresses, ...fleet.workers]);

  await makeRoom();
  await expectWhole(ask(fleet.url, 'short'), expectedText({ tokens: 10 }));
});

test('what has to end can be ended while Redis is out of memory', async () => {
  const left = ask(fleet.url, 'long', { body: { user: 'left' } });
  const id = await createJob(fleet.url, 'long', { user: 'cancelled' });
  const reader = follow(fleet.url, id);
  await Promise.all([left.until(chunks(3)), reader.until(chunks(3))]);

  await runOut();

  await expectClosed(fleet.primary, 'left', left.leave());
  const since = Date.now();
  expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
  await expectClosed(fleet.primary, 'cancelled', since);
  await reader.ended;
  expect(readStory(reader.events).end).toBe('cancelled');
});

test('jobs that wait while Redis is out of memory are served when it has room again', async () => {
  const [worker] = fleet.workers;
  await worker?.stop('SIGTERM');
  const id = await createJob(fleet.url, 'short', { user: 'waits' });
  await runOut();
  await fleet.addWorker();
  const reader = follow(fleet.url, id);
  await reader.until(({ events }) => events.length > 0);
  await makeRoom();
  await reader.ended;
  expect(readStory(reader.events)).toMatchObject({
    end: 'done',
    text: expectedText({ tokens: 10 }),
  });
  expect(asked(fleet.primary, 'waits')).toBe(1);
});
