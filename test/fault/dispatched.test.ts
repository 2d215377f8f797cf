import { keyspace } from '@millrace/shared/store/keys';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { endWorkersOfFailedTests } from '../kit/after-failure.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { startRedisProxy } from '../kit/redis-proxy.ts';
import type { RedisProxy } from '../kit/redis-proxy.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { asked, expectAlive, expectEmpty, isAlive, observeQueue } from '../kit/observe.ts';
import { counters } from '../kit/takeover.ts';

// A job goes to a worker with its submission, by a message. Here it does not arrive, or arrives too late: in Redis the
// worker has it all the same.

const keys = keyspace();
const text = expectedText({ tokens: 20 });
/** Far below the half minute after which BullMQ would find a job whose worker does not know of it. */
const soonMs = 15_000;

let fleet: Fleet;
let redis: ReturnType<Fleet['redis']['connect']>;
/** Between every worker and Redis. */
let proxy: RedisProxy;
/** The worker that a test begins with: the one before has left it, alone. */
let first: RoleProcess;
let name: string;
/** Workers that were killed: an offer of theirs stays until a job is to be sent to it. */
const gone = new Set<string>();
let deaths: { gone: number; hung: number };

beforeAll(async () => {
  fleet = await startFleet({ workers: 0, models: { brief: 'healthy:tokens=20' } });
  redis = fleet.redis.connect();
  proxy = await startRedisProxy(fleet.redis.url);
});
beforeEach(async () => {
  fleet.primary.reset();
  const left = fleet.workers.find(isAlive);
  // The dead of a failed test would be sent the next job.
  if (left === undefined) await redis.del(keys.offers(0));
  first = left ?? (await fleet.addWorker(proxy.url));
  // While a job waits, the next one is not sent to anybody.
  await expectEmpty(observeQueue(fleet));
  name = await theOffering();
  ({ deaths } = await counters(fleet.url));
});
afterEach(() => proxy.reset());
endWorkersOfFailedTests(() => fleet);
afterAll(async () => {
  await fleet?.close();
  await proxy?.close();
});

/** Those that offer places, and live. */
const offering = async (): Promise<string[]> =>
  (await redis.zrange(keys.offers(0), '0', '-1')).filter((worker) => !gone.has(worker));

async function theOffering(): Promise<string> {
  await expect.poll(offering).toHaveLength(1);
  const [only = ''] = await offering();
  return only;
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

test('a worker that is killed before it reads of its job is followed like any other', async () => {
  first.child.kill('SIGSTOP');
  const stream = await sendTo(name, 'a');
  gone.add(name);
  await first.stop('SIGKILL');
  await fleet.addWorker(proxy.url);
  await expectWhole(stream, text);
  expect(asked(fleet.primary, 'a')).toBe(1);
  await expect
    .poll(async () => (await counters(fleet.url)).deaths)
    .toEqual({ ...deaths, gone: deaths.gone + 1 });
  await expectEmpty(observeQueue(fleet));
});

test('a worker that stands still is sent nothing a moment later, and runs nothing that others have taken over', async () => {
  first.child.kill('SIGSTOP');
  const early = await sendTo(name, 'early');
  const second = await fleet.addWorker(proxy.url);
  const late = ask(fleet.url, 'brief', { body: { user: 'late' } });
  await Promise.all([early, late].map((stream) => expectWhole(stream, text)));
  await expect
    .poll(async () => (await counters(fleet.url)).deaths)
    .toEqual({ ...deaths, hung: deaths.hung + 1 });

  first.child.kill('SIGCONT');
  // It reads its messages before it offers places again.
  await expect.poll(offering).toHaveLength(2);
  await expectEmpty(observeQueue(fleet));
  expect([asked(fleet.primary, 'early'), asked(fleet.primary, 'late')]).toEqual([1, 1]);
  expectAlive([first, second]);
  await second.stop('SIGTERM');
});

test('a worker whose subscription breaks under the message finds the job', async () => {
  const lost = proxy.loseAnswer('job\n');
  const stream = await sendTo(name, 'a');
  await lost;
  const at = Date.now();
  await expectWhole(stream, text);
  expect(Date.now() - at).toBeLessThan(soonMs);
  expect(asked(fleet.primary, 'a')).toBe(1);
  await expectEmpty(observeQueue(fleet));
  // It trusts messages less from now on: the next test has another one.
  await first.stop('SIGTERM');
});

test('a worker whose subscription is silent finds the job by its number', async () => {
  const held = proxy.holdAnswerWith('job\n');
  const stream = await sendTo(name, 'a');
  await held;
  const at = Date.now();
  await expectWhole(stream, text);
  expect(Date.now() - at).toBeLessThan(soonMs);
  // What comes after all is not run again.
  proxy.release();
  // A job is only sent to a worker that offers places, which this one does again soon.
  await expectEmpty(observeQueue(fleet));
  const next = await sendTo(await theOffering(), 'b');
  await expectWhole(next, text);
  expect([asked(fleet.primary, 'a'), asked(fleet.primary, 'b')]).toEqual([1, 1]);
  await expectEmpty(observeQueue(fleet));
});

test('a worker that leaves hands back what it was sent, also what did not arrive', async () => {
  const held = proxy.holdAnswerWith('job\n');
  const stream = await sendTo(name, 'a');
  await held;
  expect(await first.stop('SIGTERM')).toBe(0);
  expect(await observeQueue(fleet).counts()).toMatchObject({ waiting: 1, active: 0 });
  await fleet.addWorker(proxy.url);
  await expectWhole(stream, text);
  expect(asked(fleet.primary, 'a')).toBe(1);
});
