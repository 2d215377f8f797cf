import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import type { Stream } from '../kit/client.ts';
import { expectWhole } from '../kit/judge.ts';
import { expectAlive, expectEmpty, observeQueue } from '../kit/observe.ts';
import { counters, killed, openStreams, slowAnswer } from '../kit/takeover.ts';

let fleet: Fleet;
afterEach(() => fleet?.close());

const count = 30;
// Long enough for a second worker to start, also beside other tests.
const { text, models } = slowAnswer(200);
vi.setConfig({ testTimeout: 60_000 });

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
  fleet = await startFleet({ models });
  const streams = await openStreams(fleet.url, 'pair', count);
  await fleet.addWorker();
  const [doomed] = fleet.workers as [RoleProcess];
  return { streams, doomed };
}

async function expectTakenOverOnce(streams: readonly Stream[]): Promise<void> {
  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  expect(fleet.primary.requests).toHaveLength(count);
  expect(fleet.backup.requests).toHaveLength(count);
  expect(await counters(fleet.url)).toEqual({
    deaths: { gone: 1, hung: 0 },
    takeovers: count,
    falseAlarms: 0,
  });
  expectAlive([...fleet.workers.slice(1), ...fleet.ingresses]);
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
