import { afterAll, beforeAll, expect, test } from 'vitest';
import { blocks, kills } from '../kit/deadly-words.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { ask, createJob, eventsOf, getJob, requestId } from '../kit/client.ts';
import { expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectEmpty, isAlive, observeQueue } from '../kit/observe.ts';
import { counters, killed, openStreams, slowAnswer } from '../kit/takeover.ts';

let fleet: Fleet;
// They end when all is over.
const { text, models } = slowAnswer(200, 100);
beforeAll(async () => {
  fleet = await startFleet({ workers: 0, models: { ...models, short: 'healthy:tokens=20' } });
});
afterAll(() => fleet?.close());

const addWorkers = (count: number) =>
  Promise.all(Array.from({ length: count }, () => fleet.addWorker(undefined, './deadly-input.ts')));
const alive = () => fleet.workers.filter(isAlive);
const poisoned = { code: 'poisoned_request', type: 'server_error' };

test('a request that kills, or blocks, every worker that takes it fails at the third one, and all others end whole', async () => {
  await addWorkers(7 - alive().length);
  const innocents = await openStreams(fleet.url, 'pair', 20);
  const reader = ask(fleet.url, 'short', { body: { user: kills } });

  const answer = await readPlain(reader);

  expect(answer).toMatchObject({ end: 'error', error: poisoned });
  expect(answer.head).toMatchObject({ status: 500, headers: { 'x-should-retry': 'false' } });
  await expect.poll(alive).toHaveLength(4);
  const killer = await requestId(reader);
  expect(await getJob(fleet.url, killer)).toMatchObject({ status: 'failed', error: poisoned });
  expect(readStory(await eventsOf(fleet.url, killer))).toMatchObject({ end: 'failed' });

  const before = await counters(fleet.url);
  const blocker = await createJob(fleet.url, 'short', { user: blocks });

  const story = readStory(await eventsOf(fleet.url, blocker));

  expect(story).toMatchObject({ end: 'failed', data: { error: poisoned } });
  await expect
    .poll(async () => (await counters(fleet.url)).deaths)
    .toEqual({ gone: before.deaths.gone, hung: before.deaths.hung + 3 });
  await expect.poll(alive).toHaveLength(4);
  fleet.hurry();
  await Promise.all(innocents.map((stream) => expectWhole(stream, text)));
  const queue = observeQueue(fleet);
  await expectEmpty(queue);
  const [ingress] = fleet.ingresses;
  for (const [id, user] of [
    [killer, kills],
    [blocker, blocks],
  ] as const) {
    expect(await queue.state(id)).toBe('failed');
    expect(asked(fleet.primary, user)).toBe(0);
    await expect.poll(() => ingress?.stderr()).toContain(id);
  }
});

test('innocent streams live through three kills of the worker that has them', async () => {
  fleet.primary.reset();
  const streams = await openStreams(fleet.url, 'single', 20);
  // Those that are left have all of them in the end.
  const before = await counters(fleet.url);
  for (const worker of alive().slice(0, 3)) {
    await killed(worker);
    // Each stream goes on, whether this worker had it or not: more chunks than could have been on their way.
    const seen = streams.map(({ events }) => events.length);
    await Promise.all(streams.map((stream, i) => stream.count((seen[i] ?? 0) + 5)));
  }
  fleet.hurry();
  await Promise.all(streams.map((stream) => expectWhole(stream, text)));
  await expect
    .poll(async () => (await counters(fleet.url)).takeovers)
    .toBeGreaterThan(before.takeovers);
});
