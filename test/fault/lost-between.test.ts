import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { endWorkersOfFailedTests } from '../kit/after-failure.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import type { RedisProxy } from '../kit/redis-proxy.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, getJob, requestId } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { asked, expectEmpty, isAlive, observeQueue } from '../kit/observe.ts';
import { killed } from '../kit/takeover.ts';

// Redis has given a job to a worker, with its log sealed, and the worker does not know yet.

let fleet: Fleet;
let proxy: RedisProxy;
beforeAll(async () => {
  fleet = await startFleet({ workers: 0, models: { short: 'healthy:tokens=10' } });
  proxy = await startRedisProxy(fleet.redis.url);
});
beforeEach(() => fleet.primary.reset());
afterEach(() => proxy.reset());
endWorkersOfFailedTests(() => fleet);
afterAll(async () => {
  await fleet?.close();
  await proxy?.close();
});

const user = 'between';
const text = expectedText({ tokens: 10 });

/** A request whose job was taken by a worker that has not heard of it. */
async function taken() {
  // The one that the test before has left, alone.
  const first = fleet.workers.find(isAlive) ?? (await fleet.addWorker(proxy.url));
  // Only the answer that brings the job has its id in it.
  const held = proxy.holdAnswerWith('req_0_');
  const stream = ask(fleet.url, 'short', { body: { user } });
  await held;
  return { first, stream };
}

test('a worker that is killed before it hears of its job is followed by another one', async () => {
  const { first, stream } = await taken();
  // At once: after some time it would find its job by its number.
  await killed(first);
  await fleet.addWorker(proxy.url);
  await expectWhole(stream, text);
  expect(asked(fleet.primary, user)).toBe(1);
  expect(await getJob(fleet.url, await requestId(stream))).toMatchObject({
    attempts: { length: 1 },
  });
  await expectEmpty(observeQueue(fleet));
});

test('a worker that stood still before it hears of its job leaves it to the one that has it now', async () => {
  const { first, stream } = await taken();
  first.child.kill('SIGSTOP');
  await fleet.addWorker(proxy.url);
  await expectWhole(stream, text);
  proxy.release();
  first.child.kill('SIGCONT');
  await expectEmpty(observeQueue(fleet));
  // It is a worker again, and has asked nobody for the job that it had lost.
  const next = ask(fleet.url, 'short', { body: { user: 'next' } });
  await expectWhole(next, text);
  expect(asked(fleet.primary, user)).toBe(1);
  await first.stop('SIGTERM');
});

test('a Redis that is restarted before the worker hears of its job loses nothing', async () => {
  const { stream } = await taken();
  await fleet.redis.kill();
  await fleet.redis.start();
  await expectWhole(stream, text);
  expect(asked(fleet.primary, user)).toBe(1);
  await expectEmpty(observeQueue(fleet));
});
