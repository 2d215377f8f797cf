import { afterEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { expectWhole } from '../kit/judge.ts';
import { expectEmpty, observeQueue } from '../kit/observe.ts';
import { counters, followed, openStreams, slowAnswer } from '../kit/takeover.ts';

let fleet: Fleet;
afterEach(() => fleet?.close());

/** Longer than the tests wait for anything: only `hurry` ends it. */
const { text, models: slow } = slowAnswer(200, 200);
const brief = { model: 'healthy:tokens=20', text: expectedText({ tokens: 20 }) };
const models = {
  ...slow,
  brief: brief.model,
  silent: {
    targets: [
      { provider: 'primary', model: 'stall:after=20,pace=1' },
      { provider: 'backup', model: 'prefill:tokens=60', prefill: true },
    ],
    // What lets go of the provider is not this.
    idleTimeout: '10m',
  },
};

const open = () => fleet.primary.requests.filter(({ state }) => state === 'open').length;

test('a worker that loses its subscription and then stands still is followed, too', async () => {
  fleet = await startFleet({ models });
  const streams = await openStreams(fleet.url, 'pair', 5, 3);
  const [zombie] = fleet.workers as [RoleProcess];
  const redis = fleet.redis.connect();
  await fleet.addWorker();

  // It cannot subscribe again, and its other connections are still there.
  zombie.child.kill('SIGSTOP');
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');

  await followed(streams);
  fleet.hurry();
  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  // The ingress counts a moment after readers have been shown something.
  await expect.poll(async () => (await counters(fleet.url)).deaths).toEqual({ gone: 0, hung: 1 });
  zombie.child.kill('SIGCONT');
});

test('a worker that wakes to a provider that says nothing more lets go of it, too', async () => {
  fleet = await startFleet({ models });
  const streams = await openStreams(fleet.url, 'silent', 5);
  const [zombie] = fleet.workers as [RoleProcess];
  await fleet.addWorker();

  zombie.child.kill('SIGSTOP');
  await Promise.all(streams.map((one) => expectWhole(one, expectedText({ tokens: 60 }))));
  expect(open()).toBe(5);
  zombie.child.kill('SIGCONT');

  await expect.poll(open).toBe(0);
});

test('a worker that stands still and is the only one takes its own jobs back when it wakes', async () => {
  fleet = await startFleet({ models });
  const streams = await openStreams(fleet.url, 'single', 10, 3);
  const [only] = fleet.workers as [RoleProcess];
  const queue = observeQueue(fleet);

  only.child.kill('SIGSTOP');
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 10, active: 0 });
  only.child.kill('SIGCONT');
  await followed(streams);
  fleet.hurry();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  await expectEmpty(queue);
  expect(await queue.counts()).toMatchObject({ completed: 10, failed: 0 });
});

test('an idle worker that stands still does not keep the next request waiting for long', async () => {
  fleet = await startFleet({ workers: 2, models });
  const [idle] = fleet.workers as [RoleProcess];
  idle.child.kill('SIGSTOP');
  const streams = await openStreams(fleet.url, 'brief', 4);
  await Promise.all(streams.map((stream) => expectWhole(stream, brief.text)));
});
