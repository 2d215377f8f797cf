import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, getJob, requestId } from '../kit/client.ts';
import { chunks, expectWhole } from '../kit/judge.ts';
import { asked, expectAlive, expectEmpty, observeQueue } from '../kit/observe.ts';
import {
  clockNextRun,
  counters,
  followed,
  killed,
  openStreams,
  quantiles,
  slowAnswer,
} from '../kit/takeover.ts';

/*
 * What is due within so many milliseconds, or depends on a process that stands still for just so long. A
 * machine that is busy with other tests would be late.
 */

let fleet: Fleet;
afterEach(() => fleet?.close());

/** Longer than the tests wait for anything: only `hurry` ends it. */
const { text, models: slow } = slowAnswer(200, 200);
/** Long enough for two stops, and for another worker to be started in between. */
const long = slowAnswer(600);
const brief = { model: 'healthy:tokens=20', text: expectedText({ tokens: 20 }) };
const models = {
  ...slow,
  brief: brief.model,
  // Shorter than the stops of the test.
  impatient: { ...long.models.pair, idleTimeout: '700ms' },
};

const open = () => fleet.primary.requests.filter(({ state }) => state === 'open').length;

test('a worker that stands still is followed within 3 s, and its writes and calls end when it wakes', async () => {
  fleet = await startFleet({ models });
  const streams = await openStreams(fleet.url, 'pair', 20, 3);
  const [zombie] = fleet.workers as [RoleProcess];
  const second = await fleet.addWorker();
  const clocks = streams.map(clockNextRun);

  const at = exactTime();
  zombie.child.kill('SIGSTOP');

  await expect.poll(() => clocks.every((clock) => clock() < Infinity), { interval: 20 }).toBe(true);
  const shown = clocks.map((clock) => clock() - at);
  console.info(`shown again: ${quantiles(shown)}`);
  expect(Math.max(...shown)).toBeLessThan(3000);

  zombie.child.kill('SIGCONT');
  // What it had in its buffers is refused, and that ends its calls.
  await expect.poll(open).toBe(0);
  fleet.hurry();
  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  await expect
    .poll(() => counters(fleet.url))
    .toEqual({
      deaths: { gone: 0, hung: 1 },
      takeovers: 20,
      falseAlarms: 1,
    });
  expectAlive(fleet.workers);
  await expectEmpty(observeQueue(fleet));

  // It is a worker again: the only one, when the other is gone.
  await killed(second);
  await expectWhole(ask(fleet.url, 'brief'), brief.text);
});

test('a reaper that dies together with a worker is replaced in time for its streams', async () => {
  fleet = await startFleet({ models });
  const [leader] = fleet.ingresses as [RoleProcess];
  const next = await fleet.addIngress();
  const streams = await openStreams(next.url, 'pair', 30, 3);
  const [first] = fleet.workers as [RoleProcess];
  await fleet.addWorker();
  await sleep(200); // The one that stands by has seen both workers.

  const [at] = await Promise.all([killed(first), killed(leader)]);
  await followed(streams);
  fleet.hurry();

  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  const asked = fleet.backup.requests.map(({ arrivedAt }) => arrivedAt - at);
  expect(asked).toHaveLength(30);
  expect(Math.max(...asked)).toBeLessThan(600);
  await expect.poll(() => counters(next.url)).toMatchObject({ takeovers: 30, falseAlarms: 0 });
});

/** Streams with a name each, that have been shown something. */
async function openNamed(users: readonly string[]) {
  const streams = users.map((user) => ({
    user,
    stream: ask(fleet.url, 'impatient', { body: { user } }),
  }));
  await Promise.all(streams.map(({ stream }) => stream.until(chunks(10))));
  return streams;
}

/** How often providers were asked for each stream, and how many attempts its log has. */
async function callsAndAttempts({ user, stream }: Awaited<ReturnType<typeof openNamed>>[number]) {
  const { attempts } = await getJob(fleet.url, await requestId(stream));
  return [asked(fleet.primary, user) + asked(fleet.backup, user), attempts.length];
}

/** Breakers that were opened, by all workers. */
async function openings(): Promise<string[]> {
  const page = await (await fetch(`${fleet.url}/metrics`)).text();
  return page
    .split('\n')
    .filter((line) => /^millrace_breaker_transitions_total\{.*state="open"/.test(line))
    .filter((line) => !line.endsWith(' 0'));
}

test('a worker that wakes from a stop asks no provider for what others have taken over, and blames none', async () => {
  fleet = await startFleet({ models, health: true });
  const [zombie] = fleet.workers as [RoleProcess];

  const streams = await openNamed(Array.from({ length: 32 }, (_, i) => `reader-${i}`));

  // Not long enough for others to follow: what the providers sent waits in its sockets.
  zombie.child.kill('SIGSTOP');
  await sleep(1000);
  zombie.child.kill('SIGCONT');
  const second = fleet.addWorker();
  // For longer than what comes of a stop is waited out.
  const heard = streams.map(({ stream }) => stream.events.length);
  const goesOn = streams.map(({ stream }, i) =>
    stream.until(({ events }) => events.length > (heard[i] ?? 0) + 45),
  );
  await Promise.all(goesOn);
  for (const one of streams) expect(await callsAndAttempts(one)).toEqual([1, 1]);

  await second;
  const clocks = streams.map(({ stream }) => clockNextRun(stream));
  zombie.child.kill('SIGSTOP');
  await expect.poll(() => clocks.every((clock) => clock() < Infinity), { interval: 20 }).toBe(true);
  zombie.child.kill('SIGCONT');
  await expect.poll(open).toBe(0);
  fleet.hurry();
  await Promise.all(streams.map(({ stream }) => expectWhole(stream, long.text)));
  for (const one of streams) expect(await callsAndAttempts(one)).toEqual([2, 2]);

  // Metrics of workers are a second old.
  await sleep(1100);
  expect(await openings()).toEqual([]);
});
