import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { endWorkersOfFailedTests } from '../kit/after-failure.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import type { RedisProxy } from '../kit/redis-proxy.ts';
import { ask, cancelJob, createJob, eventsOf, follow, requestId } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { chunks, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectEmpty, isAlive, observeQueue, upstream, userOf } from '../kit/observe.ts';
import { killed } from '../kit/takeover.ts';

// A cancel that arrives while the request is on its way to a worker: when the first one takes it, and
// when another one takes it over. And one that is on its way to Redis while the connection breaks.

let fleet: Fleet;
/** Between the ingress and Redis. */
let proxy: RedisProxy;
/** Another one in each test: the provider's log knows its calls by it. */
let user: string;
let tests = 0;
beforeAll(async () => {
  const config = { drainTimeout: '100ms' };
  fleet = await startFleet({ workers: 0, ingresses: 0, models, config });
  proxy = await startRedisProxy(fleet.redis.url);
  await fleet.addIngress(proxy.url);
});
beforeEach(() => {
  user = `cancelled-${(tests += 1)}`;
});
afterEach(() => proxy.reset());
endWorkersOfFailedTests(() => fleet);
afterAll(async () => {
  await proxy?.close();
  await fleet?.close();
});

/** The worker that the test before has left, or a new one. */
const oneWorker = async (): Promise<RoleProcess> =>
  fleet.workers.find(isAlive) ?? (await fleet.addWorker());

const models = {
  pair: {
    targets: [
      { provider: 'primary', model: 'healthy:tokens=2000,pace=10' },
      { provider: 'backup', model: 'prefill:tokens=2000,pace=10,first=60000', prefill: true },
    ],
    firstTokenTimeout: '60s',
  },
};

/** The log has one end, everybody is told so, and nothing is left anywhere. */
async function expectCancelled(id: string, reader: Stream): Promise<void> {
  await reader.ended;
  expect(readStory(reader.events).end).toBe('cancelled');
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('cancelled');
  await expectEmpty(observeQueue(fleet));
  for (const { requests } of [fleet.primary, fleet.backup]) {
    await expect.poll(() => requests.filter(({ state }) => state === 'open')).toEqual([]);
  }
}

describe('a cancel that arrives while a worker activates the request', () => {
  let between: RedisProxy;
  beforeAll(async () => {
    between = await startRedisProxy(fleet.redis.url);
  });
  beforeEach(async () => {
    if (!fleet.workers.some(isAlive)) await fleet.addWorker(between.url);
  });
  afterEach(() => between.reset());
  afterAll(async () => {
    await fleet.killWorkers();
    await between?.close();
  });

  test('before it knows of it, never reaches the provider', async () => {
    // Only the answer that brings the job has its id in it: by then the log is the worker's.
    const held = between.holdAnswerWith('req_0_');
    const id = await createJob(fleet.url, 'pair', { user });
    const reader = follow(fleet.url, id);
    await held;
    expect(await observeQueue(fleet).state(id)).toBe('active');

    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    between.release();

    await expectCancelled(id, reader);
    expect(asked(fleet.primary, user)).toBe(0);
  });

  test('when its attempt is on the way to the log, leaves no call behind', async () => {
    // The first command of the worker that names the request.
    const held = between.holdCommand('req_0_');
    const id = await createJob(fleet.url, 'pair', { user });
    const reader = follow(fleet.url, id);
    await held;

    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    between.release();

    await expectCancelled(id, reader);
  });
});

describe('a cancel that arrives during a takeover', () => {
  /** In its middle, on a worker that is killed then. */
  async function loseWorker() {
    const worker = await oneWorker();
    const id = await createJob(fleet.url, 'pair', { user });
    const reader = follow(fleet.url, id);
    await reader.until(chunks(5));
    await killed(worker);
    return { id, reader };
  }

  test('while the request waits for the next worker, asks no other provider', async () => {
    const { id, reader } = await loseWorker();
    const queue = observeQueue(fleet);
    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 1, active: 0 });

    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    await fleet.addWorker();

    await expectCancelled(id, reader);
    expect(await queue.state(id)).toBe('unknown');
    expect(asked(fleet.backup, user)).toBe(0);
  });

  test('before the worker is found to be dead, is the end all the same', async () => {
    const { id, reader } = await loseWorker();
    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    await fleet.addWorker();
    await expectCancelled(id, reader);
    expect(asked(fleet.backup, user)).toBe(0);
  });

  test('when the next worker has asked and nothing came yet, closes its call', async () => {
    const { id, reader } = await loseWorker();
    await fleet.addWorker();
    await upstream(fleet.backup, user);

    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });

    await expectCancelled(id, reader);
    const calls = fleet.backup.requests.filter((one) => userOf(one) === user);
    expect(calls.map(({ state }) => state)).toEqual(['aborted by client']);
  });

  test('ends a plain stream with one error', async () => {
    const worker = await oneWorker();
    const stream = ask(fleet.url, 'pair', { body: { user } });
    await stream.until(chunks(5));
    await killed(worker);
    await cancelJob(fleet.url, await requestId(stream));
    await fleet.addWorker();
    expect((await readPlain(stream)).error?.code).toBe('request_cancelled');
    await expectEmpty(observeQueue(fleet));
  });
});

describe('a cancel of a request that its worker hands back', () => {
  test('before another worker takes it, asks no other provider', async () => {
    const worker = await oneWorker();
    const id = await createJob(fleet.url, 'pair', { user });
    const reader = follow(fleet.url, id);
    await reader.until(chunks(5));
    expect(await worker.stop('SIGTERM')).toBe(0);
    expect(await observeQueue(fleet).counts()).toMatchObject({ waiting: 1, active: 0 });

    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    await fleet.addWorker();

    await expectCancelled(id, reader);
    expect(asked(fleet.primary, user)).toBe(1);
    expect(asked(fleet.backup, user)).toBe(0);
  });

  test('while it does so, is the end all the same', async () => {
    const worker = await oneWorker();
    const id = await createJob(fleet.url, 'pair', { user });
    const reader = follow(fleet.url, id);
    await reader.until(chunks(5));
    await fleet.addWorker();
    const stopped = worker.stop('SIGTERM');
    // The call ends when the run does; its job goes back right after.
    await fleet.primary.waitFor((one) => userOf(one) === user && one.state !== 'open');

    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });

    expect(await stopped).toBe(0);
    await expectCancelled(id, reader);
  });
});

describe('a cancel whose ingress loses Redis', () => {
  // The workers leave, and offer no places any more.
  beforeAll(async () => {
    await Promise.all(fleet.workers.splice(0).map((worker) => worker.stop('SIGTERM')));
  });

  test('with the answer, is said again, and takes the job out of the queue', async () => {
    const id = await createJob(fleet.url, 'pair', { user });
    const lost = proxy.loseAnswer('finished');
    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    await lost;
    await expectCancelled(id, follow(fleet.url, id));
    expect(await observeQueue(fleet).state(id)).toBe('unknown');
  });

  test('when it holds already, is answered without the queue', async () => {
    const id = await createJob(fleet.url, 'pair', { user });
    // The job's own key, not the request's: it is about to leave the queue.
    const held = proxy.holdCommand(`requests:${id}`);
    const cancelled = cancelJob(fleet.url, id);
    await held;
    proxy.cut();
    expect(await cancelled).toEqual({ id, status: 'cancelled' });
    proxy.mend();
    await expectCancelled(id, follow(fleet.url, id));
  });

  test('is not answered before it holds, and can be tried again', async () => {
    const id = await createJob(fleet.url, 'pair', { user });
    proxy.cut();
    const answer = await fetch(`${fleet.url}/v1/jobs/${id}`, { method: 'DELETE' });
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(await answer.json()).toMatchObject({ error: { code: 'queue_unavailable' } });
    proxy.mend();

    await expect
      .poll(() => cancelJob(fleet.url, id).catch(String))
      .toEqual({ id, status: 'cancelled' });

    await fleet.addWorker();
    await expectCancelled(id, follow(fleet.url, id));
    expect(asked(fleet.primary, user)).toBe(0);
  });
});
