import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, cancelJob, createJob, eventsOf, follow, getJob, requestId } from '../kit/client.ts';
import { chunks, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectClosed, expectEmpty, observeQueue, upstream } from '../kit/observe.ts';
import type { ObservedQueue } from '../kit/observe.ts';

let fleet: Fleet;
let queue: ObservedQueue;
const slots = 4;

beforeAll(async () => {
  fleet = await startFleet({
    models: {
      long: 'healthy:tokens=2000,pace=10',
      short: 'healthy:tokens=10',
      bad: 'status:code=400',
    },
    config: { limits: { workerConcurrency: slots } },
  });
  queue = observeQueue(fleet);
});
// No request of a test, or of its first try, runs or waits beside the next one.
afterEach(async () => {
  fleet.hurry();
  await expectEmpty(queue);
  fleet.primary.reset();
});
afterAll(() => fleet?.close());

/** Fills every slot of the worker, so that what comes next has to wait. */
async function blockWorker(): Promise<string[]> {
  const ids = await Promise.all(
    Array.from({ length: slots }, (_, i) => createJob(fleet.url, 'long', { user: `blocker-${i}` })),
  );
  await Promise.all(ids.map((_, i) => upstream(fleet.primary, `blocker-${i}`)));
  return ids;
}

test('a queued job that is cancelled leaves the queue and never reaches the provider', async () => {
  const blockers = await blockWorker();
  const id = await createJob(fleet.url, 'long', { user: 'cancelled-queued' });
  expect((await getJob(fleet.url, id)).queue_position).toBe(0);
  const reader = follow(fleet.url, id);
  await reader.until(({ events }) => events.length > 0);

  expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'cancelled' });

  await reader.ended;
  expect(readStory(reader.events)).toMatchObject({ end: 'cancelled', attempts: [], text: '' });
  expect(await queue.state(id)).toBe('unknown');
  expect((await getJob(fleet.url, id)).status).toBe('cancelled');

  // The job behind it runs, so the worker has had its chance to take the cancelled one.
  const next = await createJob(fleet.url, 'short');
  await Promise.all(blockers.map((blocker) => cancelJob(fleet.url, blocker)));
  expect(readStory(await eventsOf(fleet.url, next)).end).toBe('done');
  expect(asked(fleet.primary, 'cancelled-queued')).toBe(0);
  await expectEmpty(queue);
});

test('a streaming job that is cancelled closes its upstream within 100 ms', async () => {
  const id = await createJob(fleet.url, 'long', { user: 'cancelled-streaming' });
  const readers = [follow(fleet.url, id), follow(fleet.url, id)];
  await Promise.all(readers.map((reader) => reader.until(chunks(5))));

  const since = Date.now();
  await cancelJob(fleet.url, id);
  await expectClosed(fleet.primary, 'cancelled-streaming', since);

  await Promise.all(readers.map(({ ended }) => ended));
  for (const reader of readers) expect(readStory(reader.events).end).toBe('cancelled');
  // The log says the same to whoever comes later, and nothing came behind the end.
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('cancelled');
  await expectEmpty(queue);
});

test('a plain stream that is cancelled by its id ends with one error and no [DONE]', async () => {
  const stream = ask(fleet.url, 'long', { body: { user: 'cancelled-plain' } });
  await stream.until(chunks(5));
  const id = await requestId(stream);

  const since = Date.now();
  await cancelJob(fleet.url, id);
  await expectClosed(fleet.primary, 'cancelled-plain', since);

  const answer = await readPlain(stream);
  expect(answer.error?.code).toBe('request_cancelled');
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('cancelled');
});

test('cancelling twice, and at the same time, is the same as cancelling once', async () => {
  const id = await createJob(fleet.url, 'long', { user: 'cancelled-twice' });
  await upstream(fleet.primary, 'cancelled-twice');

  const answers = await Promise.all(Array.from({ length: 5 }, () => cancelJob(fleet.url, id)));
  answers.push(await cancelJob(fleet.url, id));

  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(['cancelled']));
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('cancelled');
  await expectEmpty(queue);
});

test('cancelling a completed job changes nothing', async () => {
  const id = await createJob(fleet.url, 'short');
  const before = await eventsOf(fleet.url, id);

  expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'completed' });

  expect(await eventsOf(fleet.url, id)).toEqual(before);
  expect(readStory(before)).toMatchObject({ end: 'done', text: expectedText({ tokens: 10 }) });
});

test('cancelling a failed job changes nothing', async () => {
  const id = await createJob(fleet.url, 'bad');
  const before = await eventsOf(fleet.url, id);

  expect(await cancelJob(fleet.url, id)).toEqual({ id, status: 'failed' });

  expect(await eventsOf(fleet.url, id)).toEqual(before);
  expect(readStory(before).end).toBe('failed');
});

test('many jobs, each cancelled at once while a worker takes them, all end exactly once', async () => {
  const count = 120;
  const jobs = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const id = await createJob(fleet.url, i % 2 === 0 ? 'long' : 'short', { user: `race-${i}` });
      return { id, answer: await cancelJob(fleet.url, id) };
    }),
  );

  for (const { id, answer } of jobs) {
    const story = readStory(await eventsOf(fleet.url, id));
    const status = { done: 'completed', cancelled: 'cancelled', failed: 'failed' }[story.end];
    expect(answer.status).toBe(status);
    expect(story.end).not.toBe('failed');
  }
  await expectEmpty(queue);
  // No upstream call outlives its request.
  await expect
    .poll(() => fleet.primary.requests.filter(({ state }) => state === 'open').length)
    .toBe(0);
});
