import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { blocks, kills } from '../kit/deadly-words.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { ask, createJob, eventsOf, getJob, requestId } from '../kit/client.ts';
import { expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectEmpty, observeQueue } from '../kit/observe.ts';
import { counters, killed, openStreams, slowAnswer } from '../kit/takeover.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let fleet: Fleet;
/** Those who stand still with their worker, up to three times, have their time besides. */
const beside = slowAnswer(80);
const long = slowAnswer(120);
beforeAll(async () => {
  const { pair } = beside.models;
  const { single } = long.models;
  fleet = await startFleet({ workers: 0, models: { pair, single, short: 'healthy:tokens=20' } });
  await addWorkers(7);
});
afterAll(() => fleet?.close());

const addWorkers = (count: number) =>
  Promise.all(Array.from({ length: count }, () => fleet.addWorker(undefined, './deadly-input.ts')));
const alive = () =>
  fleet.workers.filter(({ child }) => child.exitCode === null && child.signalCode === null);
const poisoned = { code: 'poisoned_request', type: 'server_error' };

test('a request that kills, or blocks, every worker that takes it fails at the third one, and all others end whole', async () => {
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
  const { deaths } = await counters(fleet.url);
  expect(deaths).toEqual({ gone: before.deaths.gone, hung: before.deaths.hung + 3 });
  await expect.poll(alive).toHaveLength(4);
  await Promise.all(innocents.map((stream) => expectWhole(stream, beside.text)));
  const queue = observeQueue(fleet);
  await expectEmpty(queue);
  const [ingress] = fleet.ingresses;
  for (const [id, user] of [
    [killer, kills],
    [blocker, blocks],
  ] as const) {
    expect(await queue.state(id)).toBe('failed');
    expect(asked(fleet.primary, user)).toBe(0);
    expect(ingress?.stderr()).toContain(id);
  }
});

test('innocent streams live through three kills of the worker that has them', async () => {
  const streams = await openStreams(fleet.url, 'single', 20);
  for (let kill = 0; kill < 3; kill++) {
    const [oldest] = alive() as [RoleProcess];
    const next = fleet.addWorker();
    await killed(oldest);
    await next;
  }
  await Promise.all(streams.map((stream) => expectWhole(stream, long.text)));
});
