import { keyspace } from '@millrace/shared/store/keys';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { asked, expectAlive, expectEmpty, observeQueue } from '../kit/observe.ts';
import { counters } from '../kit/takeover.ts';

// A job goes to a worker with its submission, by a message. Here it does not arrive, or arrives too late: in Redis the
// worker has it all the same.

const keys = keyspace();
const text = expectedText({ tokens: 20 });

let fleet: Fleet;
let redis: ReturnType<Fleet['redis']['connect']>;
beforeEach(async () => {
  fleet = await startFleet({ workers: 0, models: { brief: 'healthy:tokens=20' } });
  redis = fleet.redis.connect();
});
afterEach(() => fleet?.close());

/** The worker that is there, once it offers places. */
async function offering(): Promise<string> {
  await expect.poll(() => redis.zcard(keys.offers(0))).toBe(1);
  const [name = ''] = await redis.zrange(keys.offers(0), '0', '0');
  return name;
}

/** Asks for an answer whose job goes to the worker as if it had just beaten. */
async function sendTo(worker: string, user: string) {
  const [seconds, micros] = await redis.time();
  await redis.hset(
    keys.beats(0),
    worker,
    Number(seconds) * 1000 + Math.floor(Number(micros) / 1000),
  );
  const before = Number(await redis.hget(keys.dispatches(0), `sent:${worker}`));
  const stream = ask(fleet.url, 'brief', { body: { user } });
  await expect
    .poll(() => redis.hget(keys.dispatches(0), `sent:${worker}`), { interval: 5 })
    .toBe(String(before + 1));
  return stream;
}

async function startBehindProxy() {
  const proxy = await startRedisProxy(fleet.redis.url);
  onTestFinished(() => proxy.close());
  await fleet.addWorker(proxy.url);
  return { proxy, name: await offering() };
}

test('a worker that is killed before it reads of its job is followed like any other', async () => {
  const first = await fleet.addWorker();
  const name = await offering();
  first.child.kill('SIGSTOP');
  const stream = await sendTo(name, 'a');
  await first.stop('SIGKILL');
  await fleet.addWorker();
  await expectWhole(stream, text);
  expect(asked(fleet.primary, 'a')).toBe(1);
  expect((await counters(fleet.url)).deaths).toEqual({ gone: 1, hung: 0 });
  await expectEmpty(observeQueue(fleet));
});

test('a worker that stands still is sent nothing a moment later, and runs nothing that others have taken over', async () => {
  const first = await fleet.addWorker();
  const name = await offering();
  first.child.kill('SIGSTOP');
  const early = await sendTo(name, 'early');
  const second = await fleet.addWorker();
  const late = ask(fleet.url, 'brief', { body: { user: 'late' } });
  await Promise.all([early, late].map((stream) => expectWhole(stream, text)));
  expect((await counters(fleet.url)).deaths).toEqual({ gone: 0, hung: 1 });

  first.child.kill('SIGCONT');
  // It reads its messages before it offers places again.
  await expect.poll(() => redis.zcard(keys.offers(0))).toBe(2);
  await expectEmpty(observeQueue(fleet));
  expect([asked(fleet.primary, 'early'), asked(fleet.primary, 'late')]).toEqual([1, 1]);
  expectAlive([first, second]);
});

test('a worker whose subscription breaks under the message finds the job', async () => {
  const { proxy, name } = await startBehindProxy();
  const lost = proxy.loseAnswer('job\n');
  const stream = await sendTo(name, 'a');
  await lost;
  const at = performance.now();
  await expectWhole(stream, text);
  expect(performance.now() - at).toBeLessThan(3000);
  expect(asked(fleet.primary, 'a')).toBe(1);
  await expectEmpty(observeQueue(fleet));
});

test('a worker whose subscription is silent finds the job by its number', async () => {
  const { proxy, name } = await startBehindProxy();
  const held = proxy.holdAnswerWith('job\n');
  const stream = await sendTo(name, 'a');
  await held;
  const at = performance.now();
  await expectWhole(stream, text);
  expect(performance.now() - at).toBeLessThan(3500);
  // What comes after all is not run again.
  proxy.release();
  const next = await sendTo(name, 'b');
  await expectWhole(next, text);
  expect([asked(fleet.primary, 'a'), asked(fleet.primary, 'b')]).toEqual([1, 1]);
  await expectEmpty(observeQueue(fleet));
});

test('a worker that leaves hands back what it was sent, also what did not arrive', async () => {
  const { proxy, name } = await startBehindProxy();
  const [leaving] = fleet.workers as [RoleProcess];
  const held = proxy.holdAnswerWith('job\n');
  const stream = await sendTo(name, 'a');
  await held;
  expect(await leaving.stop('SIGTERM')).toBe(0);
  expect(await observeQueue(fleet).counts()).toMatchObject({ waiting: 1, active: 0 });
  await fleet.addWorker();
  await expectWhole(stream, text);
  expect(asked(fleet.primary, 'a')).toBe(1);
});
