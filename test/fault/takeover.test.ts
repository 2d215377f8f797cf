import { afterEach, describe, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions, RoleProcess } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { getJob, requestId } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { chunks, expectWhole } from '../kit/judge.ts';
import { expectEmpty, observeQueue } from '../kit/observe.ts';
import {
  clockNextRun,
  counters,
  followed,
  killed,
  openStreams,
  quantiles,
  slowAnswer,
} from '../kit/takeover.ts';

let fleet: Fleet;
afterEach(() => fleet?.close());

const { text, models: slow } = slowAnswer(300);
// Still running when a second worker has started and served, however busy the machine is.
const long = slowAnswer(300, 100);
const models = {
  ...slow,
  long: long.models.pair,
  short: 'healthy:tokens=30,pace=1',
};

async function start(options: FleetOptions = {}): Promise<void> {
  fleet = await startFleet({ workers: 1, models, ...options });
}

/** Resolves when the stream has been shown some more, or has ended. */
async function goesOn(stream: Stream): Promise<void> {
  const seen = stream.events.length;
  await stream.until(({ events }) => events.length > seen + 3 || events.at(-1)?.data === '[DONE]');
}

/** A second worker, which has served before: no fleet is made of processes that never did. */
async function addWarmWorker(running: number): Promise<RoleProcess> {
  const worker = await fleet.addWorker();
  const streams = await openStreams(fleet.url, 'short', 60);
  await Promise.all(streams.map(({ ended }) => ended));
  // The queue hears of an end a moment after the reader.
  await expect.poll(() => observeQueue(fleet).counts()).toMatchObject({ active: running });
  return worker;
}

describe('a worker that is killed with streams on it', () => {
  test('is followed by another one at once', async () => {
    const count = 50;
    await start();
    const streams = await openStreams(fleet.url, 'long', count);
    const [first] = fleet.workers as [RoleProcess];
    await addWarmWorker(count);
    const clocks = streams.map(clockNextRun);

    const at = await killed(first);
    await followed(streams);
    fleet.hurry();

    await Promise.all(streams.map((stream) => expectWhole(stream, long.text)));
    const asked = fleet.backup.requests.map(({ arrivedAt }) => arrivedAt - at);
    console.info(
      `backup asked: ${quantiles(asked)}; shown: ${quantiles(clocks.map((clock) => clock() - at))}`,
    );
    expect(asked).toHaveLength(count);
    // By the reaper, and not by BullMQ's stalled check, which takes half a minute; how fast is the
    // benchmark's question (`npm run bench -- failover`).
    expect(Math.max(...asked)).toBeLessThan(10_000);
    // The ingress counts a moment after readers have been shown something.
    await expect
      .poll(() => counters(fleet.url))
      .toEqual({
        deaths: { gone: 1, hung: 0 },
        takeovers: count,
        falseAlarms: 0,
      });
    await expectEmpty(observeQueue(fleet));
  });

  test('in the middle of windows in which they gather, loses nothing that was shown', async () => {
    const tokens = 300;
    const targets = [
      { provider: 'primary', model: `healthy:tokens=${tokens},pace=10` },
      { provider: 'backup', model: `prefill:tokens=${tokens},pace=10`, prefill: true },
    ];
    await start({
      workers: 2,
      config: { delivery: { coalesce: '60ms' } },
      models: { ...models, fast: { targets } },
    });
    // 60 chunks are 600 ms: they gather.
    const streams = await openStreams(fleet.url, 'fast', 20, 60);
    const [first] = fleet.workers as [RoleProcess];

    await killed(first);

    await Promise.all(streams.map((stream) => expectWhole(stream, expectedText({ tokens }))));
    expect(fleet.backup.requests.length).toBeGreaterThan(0);
  });

  test('leaves the streams of the others alone', async () => {
    await start({ workers: 2 });
    const streams = await openStreams(fleet.url, 'pair', 20);
    const [first] = fleet.workers as [RoleProcess];

    await killed(first);
    await expect.poll(async () => (await counters(fleet.url)).takeovers).toBeGreaterThan(0);
    // Each goes on behind the takeover, those of the other worker as well: the hurry only ends them sooner.
    await Promise.all(streams.map(goesOn));
    fleet.hurry();

    await Promise.all(streams.map((stream) => expectWhole(stream, text)));
    expect(fleet.primary.requests).toHaveLength(20);
    const moved = fleet.backup.requests.length;
    await expect.poll(async () => (await counters(fleet.url)).takeovers).toBe(moved);
  });

  test('and is the only one: its requests wait for the next one', async () => {
    await start();
    const streams = await openStreams(fleet.url, 'single', 10);
    const [only] = fleet.workers as [RoleProcess];
    const queue = observeQueue(fleet);

    await killed(only);

    await expect.poll(() => queue.counts()).toMatchObject({ waiting: 10, active: 0 });
    await fleet.addWorker();
    await followed(streams);
    fleet.hurry();
    await Promise.all(streams.map((stream) => expectWhole(stream, text)));
    await expect.poll(() => counters(fleet.url)).toMatchObject({ takeovers: 10, falseAlarms: 0 });
    // What the dead worker's attempts cost is counted from what they showed.
    const jobs = await Promise.all(
      streams.map(async (stream) => getJob(fleet.url, await requestId(stream))),
    );
    for (const { attempts } of jobs) {
      expect(attempts).toMatchObject([
        { run: 1, outcome: 'worker_lost', estimated: true },
        { run: 2, outcome: 'completed' },
      ]);
      expect(attempts[0]?.usage?.completion_tokens).toBeGreaterThanOrEqual(10);
      expect(attempts[1]).not.toHaveProperty('estimated');
    }
  });
});

describe('a worker that shuts down', () => {
  test.each(['pair', 'single'])('hands its streams over unseen, with model %s', async (model) => {
    await start({ config: { drainTimeout: '300ms' } });
    const streams = await openStreams(fleet.url, model, 10);
    const [first] = fleet.workers as [RoleProcess];
    await fleet.addWorker();

    const left = { code: await first.stop('SIGTERM'), said: first.stderr() };
    expect(left).toMatchObject({ code: 0 });
    await followed(streams);
    fleet.hurry();

    await Promise.all(streams.map((stream) => expectWhole(stream, text)));
    // Nobody died.
    expect(await counters(fleet.url)).toEqual({
      deaths: { gone: 0, hung: 0 },
      takeovers: 0,
      falseAlarms: 0,
    });
    const [stream] = streams as [(typeof streams)[0]];
    const { attempts } = await getJob(fleet.url, await requestId(stream));
    expect(attempts.map(({ outcome }) => outcome)).toEqual(['handed_over', 'completed']);
  });

  test('before anything was shown asks the same provider again', async () => {
    await start({
      config: { drainTimeout: '100ms' },
      models: {
        slow: {
          targets: [
            { provider: 'primary', model: 'healthy:tokens=10,first=800' },
            { provider: 'backup', model: 'healthy:tokens=10' },
          ],
        },
      },
    });
    const [first] = fleet.workers as [RoleProcess];
    const streams = await openStreams(fleet.url, 'slow', 3, 0);
    await expect.poll(() => fleet.primary.requests.length).toBe(3);
    await fleet.addWorker();

    const left = { code: await first.stop('SIGTERM'), said: first.stderr() };
    expect(left).toMatchObject({ code: 0 });

    await Promise.all(streams.map((one) => expectWhole(one, expectedText({ tokens: 10 }))));
    expect(fleet.backup.requests).toEqual([]);
    expect(streams.every(chunks(10))).toBe(true);
  });
});
