import { rename } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, createJob, eventsOf, follow } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { chunks, expectWhole, expectWholeOrError, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectAlive, expectEmpty, isAlive, observeQueue } from '../kit/observe.ts';

const count = 10;
const whole = expectedText({ tokens: 150 });

// One fleet for all of them: no process has to be helped behind any of these faults.
let fleet: Fleet;
/** What each process had written before the test. */
let written: Map<RoleProcess, number>;

beforeAll(async () => {
  fleet = await startFleet({
    workers: 2,
    // Its end is not waited for: it is in its middle also where the machine is slow.
    models: { middle: 'healthy:tokens=150,pace=40', short: 'healthy:tokens=10' },
    config: { limits: { workerConcurrency: count }, drainTimeout: '300ms' },
  });
});
beforeEach(() => {
  const roles = [...fleet.ingresses, ...fleet.workers];
  written = new Map(roles.map((role) => [role, role.stderr().length]));
  fleet.primary.reset();
});
afterAll(() => fleet?.close());

type Crowd = { plain: Stream[]; jobs: Stream[] };

/** Plain streams and as many job streams, all in their middle. */
async function startCrowd(): Promise<Crowd> {
  const plain = Array.from({ length: count }, () => ask(fleet.url, 'middle'));
  const ids = await Promise.all(plain.map(() => createJob(fleet.url, 'middle')));
  const jobs = ids.map((id) => follow(fleet.url, id));
  await Promise.all([...plain, ...jobs].map((stream) => stream.until(chunks(10))));
  return { plain, jobs };
}

/** Each is shown something that it had not been shown before this call: they go on. */
async function goOn({ plain, jobs }: Crowd): Promise<void> {
  await Promise.all(
    [...plain, ...jobs].map(async (stream) => {
      const seen = stream.events.length;
      await stream.until(({ events }) => events.length > seen);
    }),
  );
  fleet.hurry();
}

/** Everyone has the whole answer, once, from one attempt: the fault was hidden. */
async function expectAllWhole({ plain, jobs }: Crowd): Promise<void> {
  for (const stream of plain) await expectWhole(stream, whole);
  await Promise.all(jobs.map(({ ended }) => ended));
  for (const { events } of jobs) {
    expect(readStory(events)).toMatchObject({ end: 'done', text: whole, takenBack: [] });
  }
  expect(fleet.primary.requests).toHaveLength(2 * count);
}

/** No process needs a hand: all are there, and what comes next is served. */
async function expectServing(): Promise<void> {
  expectAlive([...fleet.ingresses, ...fleet.workers]);
  await expectWhole(ask(fleet.url, 'short'), expectedText({ tokens: 10 }));
  await expectEmpty(observeQueue(fleet));
  await expect.poll(async () => (await fetch(`${fleet.url}/readyz`)).status).toBe(200);
}

describe('running streams go on to their end, whole and once', () => {
  test('when Redis is restarted with SIGTERM', async () => {
    const crowd = await startCrowd();
    await fleet.redis.kill('SIGTERM');
    await fleet.redis.start();
    await goOn(crowd);
    await expectAllWhole(crowd);
    await expectServing();
  });

  test('when Redis is killed and started again', async () => {
    const crowd = await startCrowd();
    await fleet.redis.kill('SIGKILL');
    await fleet.redis.start();
    fleet.hurry();
    // A kill may cost what the append-only file did not have yet, but it does not garble anything.
    for (const stream of crowd.plain) await expectWholeOrError(stream, whole);
    await Promise.all(crowd.jobs.map(({ ended }) => ended));
    for (const { events } of crowd.jobs) expect(readStory(events).text).toBe(whole);
    await expectServing();
  });

  test('when Redis comes back only after the provider has finished', async () => {
    const crowd = await startCrowd();
    await fleet.redis.kill('SIGTERM');
    fleet.hurry();
    const states = () => fleet.primary.requests.map(({ state }) => state);
    await expect.poll(states).toEqual(Array.from({ length: 2 * count }, () => 'finished'));
    await fleet.redis.start();
    await expectAllWhole(crowd);
    await expectServing();
    // One line of it in each process, and no stack.
    for (const role of [...fleet.ingresses, ...fleet.workers]) {
      const said = role.stderr().slice(written.get(role));
      expect(said.split('"Redis is away"')).toHaveLength(2);
      expect(said).not.toContain('"stack"');
    }
  });

  test('when every subscription is cut in mid-stream', async () => {
    const crowd = await startCrowd();
    const redis = fleet.redis.connect();
    const subscribers = async () => {
      const list = await redis.call('CLIENT', 'LIST', 'TYPE', 'pubsub');
      return String(list).match(/ name=(ingress|worker)-/g)?.length ?? 0;
    };
    const all = await subscribers();
    for (const after of [15, 20, 25]) {
      await crowd.plain[0]?.until(chunks(after));
      expect(await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')).toBe(all);
      await expect.poll(subscribers).toBe(all);
    }
    await goOn(crowd);
    await expectAllWhole(crowd);
    await expectServing();
  });

  test('when every connection is cut in mid-stream', async () => {
    const crowd = await startCrowd();
    const redis = fleet.redis.connect();
    for (const after of [15, 20, 25]) {
      await crowd.plain[0]?.until(chunks(after));
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal');
      await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    }
    await goOn(crowd);
    await expectAllWhole(crowd);
    await expectServing();
  });

  test('when Redis answers nobody for a second', async () => {
    const crowd = await startCrowd();
    await fleet.redis.connect().call('CLIENT', 'PAUSE', '1000', 'ALL');
    await goOn(crowd);
    await expectAllWhole(crowd);
    await expectServing();
  });
});

test('queued jobs are still there after a restart, in their order', async () => {
  const running = await Promise.all(
    Array.from({ length: 2 * count }, () => createJob(fleet.url, 'middle')),
  );
  const queue = observeQueue(fleet);
  await expect.poll(() => queue.counts()).toMatchObject({ active: 2 * count });
  const queued = await Promise.all(
    Array.from({ length: 10 }, (_, i) => createJob(fleet.url, 'short', { user: `queued-${i}` })),
  );
  const readers = queued.map((id) => follow(fleet.url, id));

  await fleet.redis.kill('SIGTERM');
  await fleet.redis.start();
  fleet.hurry();

  await Promise.all(readers.map(({ ended }) => ended));
  for (const { events } of readers) {
    expect(readStory(events)).toMatchObject({ end: 'done', text: expectedText({ tokens: 10 }) });
  }
  for (const events of await Promise.all(running.map((id) => eventsOf(fleet.url, id)))) {
    expect(readStory(events)).toMatchObject({ end: 'done', text: whole, takenBack: [] });
  }
  for (const [i] of queued.entries()) expect(asked(fleet.primary, `queued-${i}`)).toBe(1);
  await expectServing();
});

test('what comes while Redis is away is refused in time, and never runs unseen', async () => {
  await fleet.redis.kill('SIGTERM');
  const stream = ask(fleet.url, 'short', { body: { user: 'refused' } });
  const ready = await fetch(`${fleet.url}/readyz`);
  expect(ready.status).toBe(503);
  expect(await ready.json()).toMatchObject({ status: 'not_ready' });

  const answer = await readPlain(stream);
  expect(answer.head.status).toBe(503);
  expect(answer.head.headers['retry-after']).toMatch(/^\d+$/);
  expect(answer.error).toMatchObject({ type: 'server_error', code: 'queue_unavailable' });

  await fleet.redis.start();
  await expectServing();
  expect(asked(fleet.primary, 'refused')).toBe(0);
});

test('what comes while Redis is out of reach for a moment is served when it is back', async () => {
  // So that Redis knows the scripts, and runs what it is asked first.
  await eventsOf(fleet.url, await createJob(fleet.url, 'short'));
  const redis = fleet.redis.connect();
  await redis.ping();
  const socket = fleet.redis.url.replace('unix://', '');
  await rename(socket, `${socket}-away`);
  for (const type of ['normal', 'pubsub']) await redis.call('CLIENT', 'KILL', 'TYPE', type);

  const streams = [ask(fleet.url, 'short'), ask(fleet.url, 'short')];
  // Longer than what is quiet is left alone, shorter than a request waits for Redis.
  await sleep(2000);
  await rename(`${socket}-away`, socket);

  for (const stream of streams) await expectWhole(stream, expectedText({ tokens: 10 }));
  await expectServing();
});

test('a client that leaves while Redis is away has left when it is back', async () => {
  const stream = ask(fleet.url, 'middle', { body: { user: 'left' } });
  await stream.until(chunks(5));
  const id = String((await stream.head).headers['x-request-id']);
  await fleet.redis.kill('SIGTERM');
  stream.leave();
  await fleet.redis.start();
  const { end } = readStory(await eventsOf(fleet.url, id));
  expect(end).toBe('cancelled');
  await expectServing();
});

test('processes that are told to stop while Redis is away do not wait for it', async () => {
  // In a second try, the first one has ended them.
  if (![...fleet.ingresses, ...fleet.workers].every(isAlive)) {
    await fleet.redis.start();
    await fleet.killWorkers();
    await Promise.all([fleet.replaceIngress(), fleet.addWorker()]);
  }
  const stream = ask(fleet.url, 'middle', { body: { user: 'unfinished' } });
  await stream.until(chunks(5));
  await fleet.redis.kill('SIGKILL');

  // It does not come back: if they waited, they would not end.
  const roles = [...fleet.ingresses, ...fleet.workers];
  const codes = await Promise.all(roles.map((role) => role.stop('SIGTERM')));

  expect(codes).toEqual(roles.map(() => 0));
  expect((await readPlain(stream)).end).toBe('error');
});
