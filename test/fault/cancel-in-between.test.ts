import { afterEach, describe, expect, test } from 'vitest';
import { startFleet } from '../harness/fleet.ts';
import type { Fleet, RoleProcess } from '../harness/fleet.ts';
import { startRedisProxy } from '../harness/redis-proxy.ts';
import type { RedisProxy } from '../harness/redis-proxy.ts';
import { ask, cancelJob, createJob, eventsOf, follow, requestId } from './client.ts';
import type { Stream } from './client.ts';
import { chunks, readPlain, readStory } from './judge.ts';
import { asked, expectEmpty, observeQueue, upstream } from './observe.ts';
import { killed } from './takeover.ts';

// A cancel that arrives while the request is on its way to a worker: when the first one takes it, and
// when another one takes it over.

let fleet: Fleet;
let proxy: RedisProxy | undefined;
afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
  await fleet?.close();
});

const user = 'cancelled';
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
  async function start(): Promise<RedisProxy> {
    fleet = await startFleet({ workers: 0, models });
    proxy = await startRedisProxy(fleet.redis.url);
    await fleet.addWorker(proxy.url);
    return proxy;
  }

  test('before it has the log, never reaches the provider', async () => {
    const between = await start();
    // The first command of the worker that names the request is the one that takes over its log.
    const held = between.holdCommand('req_0_');
    const id = await createJob(fleet.url, 'pair', { user });
    const reader = follow(fleet.url, id);
    await held;
    expect(await observeQueue(fleet).state(id)).toBe('active');

    expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });
    between.release();

    await expectCancelled(id, reader);
    expect(asked(fleet.primary, user)).toBe(0);
  });

  test('when the log is its own, but it does not know yet, leaves no call behind', async () => {
    const between = await start();
    const held = between.holdAnswerTo('req_0_');
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
    fleet = await startFleet({ models });
    const id = await createJob(fleet.url, 'pair', { user });
    const reader = follow(fleet.url, id);
    await reader.until(chunks(5));
    await killed(fleet.workers[0] as RoleProcess);
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
    expect(fleet.backup.requests.map(({ state }) => state)).toEqual(['aborted by client']);
  });

  test('ends a plain stream with one error', async () => {
    fleet = await startFleet({ models });
    const stream = ask(fleet.url, 'pair', { body: { user } });
    await stream.until(chunks(5));
    await killed(fleet.workers[0] as RoleProcess);
    await cancelJob(fleet.url, await requestId(stream));
    await fleet.addWorker();
    expect((await readPlain(stream)).error?.code).toBe('request_cancelled');
    await expectEmpty(observeQueue(fleet));
  });
});
