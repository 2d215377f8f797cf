import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { expectAlive, expectEmpty, isAlive, observeQueue } from '../kit/observe.ts';
import { counters, followed, killed, openStreams, slowAnswer } from '../kit/takeover.ts';

// One fleet for all of them: a test's second worker is the first one of the next.
let fleet: Fleet;
/** What the reapers had counted before the test. */
let before: Awaited<ReturnType<typeof counters>>;
beforeAll(async () => {
  fleet = await startFleet({ workers: 0, models });
});
beforeEach(async () => {
  fleet.primary.reset();
  fleet.backup.reset();
  if (!fleet.workers.some(isAlive)) await fleet.addWorker();
  before = await counters(fleet.url);
});
afterAll(() => fleet?.close());

const count = 30;
// Still running when a second worker has started, however busy the machine is.
const { text, models } = slowAnswer(200, 100);

/** Milliseconds. */
const goneFor = 2000;

const ways = {
  async 'stands still'(): Promise<void> {
    process.kill(fleet.redis.pid, 'SIGSTOP');
    await sleep(goneFor);
    process.kill(fleet.redis.pid, 'SIGCONT');
  },
  async 'is restarted'(): Promise<void> {
    await fleet.redis.kill('SIGTERM');
    await sleep(goneFor);
    await fleet.redis.start();
  },
};
const names = Object.keys(ways) as (keyof typeof ways)[];

/** Streams on a worker, and another worker to take them over. */
async function begin(): Promise<{ streams: Stream[]; doomed: RoleProcess }> {
  const streams = await openStreams(fleet.url, 'pair', count);
  const [doomed] = fleet.workers.filter(isAlive) as [RoleProcess];
  await fleet.addWorker();
  return { streams, doomed };
}

async function expectTakenOverOnce(streams: readonly Stream[]): Promise<void> {
  await followed(streams);
  fleet.hurry();
  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(fleet.primary.requests).toHaveLength(count);
  expect(fleet.backup.requests).toHaveLength(count);
  // The ingress counts a moment after readers have been shown something.
  await expect
    .poll(() => counters(fleet.url))
    .toEqual({
      deaths: { gone: before.deaths.gone + 1, hung: before.deaths.hung },
      takeovers: before.takeovers + count,
      falseAlarms: before.falseAlarms,
    });
  expectAlive([...fleet.workers.slice(-1), ...fleet.ingresses]);
  await expectEmpty(observeQueue(fleet));
}

describe('Redis is gone for 2 s', () => {
  test.each(names)('from the moment in which a worker is killed: it %s', async (how) => {
    const { streams, doomed } = await begin();
    const died = killed(doomed);
    await ways[how]();
    await died;
    await expectTakenOverOnce(streams);
  });

  test.each(names)('in the middle of a takeover: it %s', async (how) => {
    const { streams, doomed } = await begin();
    const began = fleet.backup.waitFor(() => true);
    await killed(doomed);
    // The first of them is gone on with, and the others are on their way.
    await began;
    await ways[how]();
    await expectTakenOverOnce(streams);
  });
});
