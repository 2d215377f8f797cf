import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, cancelJob, createJob, eventsOf, follow, requestId } from '../kit/client.ts';
import { chunks, contentOf, expectWhole, readStory } from '../kit/judge.ts';
import { expectClosed, expectEmpty, observeQueue, upstream, userOf } from '../kit/observe.ts';

// A reader that comes back has this time, also on a busy machine.
const graceMs = 1000;
const slots = 6;
const keep = { 'x-millrace-on-disconnect': 'keep' };

let fleet: Fleet;
let dying: RoleProcess;
let other: RoleProcess;

beforeAll(async () => {
  fleet = await startFleet({
    models: {
      long: 'healthy:tokens=2000,pace=10',
      // Its end is not waited for.
      middle: 'healthy:tokens=400,pace=20',
      short: 'healthy:tokens=10',
    },
    config: { limits: { ownerGrace: `${graceMs}ms`, workerConcurrency: slots } },
  });
  [other] = fleet.ingresses as [RoleProcess];
});
// No request of a test runs, or waits, beside the next one.
afterEach(async () => {
  try {
    fleet.hurry();
    await expectEmpty(observeQueue(fleet));
  } finally {
    fleet.primary.reset();
  }
});
afterAll(() => fleet?.close());

const startDying = async () => {
  dying = await fleet.addIngress();
};
const whole = expectedText({ tokens: 400 });

test('requests that lived by it are cancelled after the grace, streamed or not; kept ones, jobs and streams of another ingress go on', async () => {
  await startDying();
  const kept = ask(dying.url, 'middle', { body: { user: 'kept' }, headers: keep });
  await kept.until(chunks(3));
  const ids = [await requestId(kept), await createJob(dying.url, 'middle', { user: 'unread-job' })];
  await upstream(fleet.primary, 'unread-job');
  const others = Array.from({ length: 2 }, () => ask(other.url, 'middle'));
  await Promise.all(others.map((one) => one.until(chunks(5))));
  const stream = ask(dying.url, 'long', { body: { user: 'attached' } });
  const unstreamed = askWhole(dying.url, 'long', { body: { user: 'attached-whole' } });
  await stream.until(chunks(5));
  await upstream(fleet.primary, 'attached-whole');
  const id = await requestId(stream);

  const since = Date.now();
  await dying.stop('SIGKILL');

  // The client sees a broken connection, which is no end of an answer.
  expect(await stream.ended).toMatchObject({ how: 'broken' });
  expect(stream.events.map(({ data }) => data)).not.toContain('[DONE]');
  expect(await unstreamed.ended).toMatchObject({ how: 'broken' });
  await expectClosed(fleet.primary, 'attached', since, graceMs + 1500);
  await expectClosed(fleet.primary, 'attached-whole', since, graceMs + 1500);
  const { endedAt = 0 } = await upstream(fleet.primary, 'attached');
  expect(endedAt - since).toBeGreaterThanOrEqual(graceMs);
  expect(readStory(await eventsOf(other.url, id)).end).toBe('cancelled');

  // The grace is over: those that are still there have not lived by it.
  fleet.hurry();
  for (const user of ['kept', 'unread-job']) {
    const ended = await fleet.primary.waitFor(
      (request) => userOf(request) === user && request.state !== 'open',
    );
    expect(ended.state).toBe('finished');
  }
  for (const one of ids) {
    expect(readStory(await eventsOf(other.url, one))).toMatchObject({ end: 'done', text: whole });
  }
  for (const stream of others) await expectWhole(stream, whole);
  await expectEmpty(observeQueue(fleet));
});

test('a plain stream goes on to its end when its reader comes back by another ingress in time', async () => {
  await startDying();
  const stream = ask(dying.url, 'middle', { body: { user: 'comes-back' } });
  const left = ask(dying.url, 'middle', { body: { user: 'stays-away' } });
  await Promise.all([stream, left].map((one) => one.until(chunks(5))));
  const id = await requestId(stream);

  await dying.stop('SIGKILL');
  await stream.ended;
  const rest = follow(other.url, id, stream.events.at(-1)?.id);
  // The grace is over then.
  const away = await upstream(fleet.primary, 'stays-away');
  await expect.poll(() => away.state).toBe('aborted by client');
  fleet.hurry();
  await rest.ended;

  expect((await upstream(fleet.primary, 'comes-back')).state).toBe('finished');
  const before = stream.events.map(({ data }) => contentOf(data)).join('');
  expect(before + readStory(rest.events).text).toBe(whole);
  expect(readStory(rest.events).end).toBe('done');
});

test('readers of a job go on at another ingress, without loss and without repetition', async () => {
  await startDying();
  const id = await createJob(dying.url, 'middle', { user: 'job' });
  const readers = Array.from({ length: 10 }, () => follow(dying.url, id));
  await Promise.all(readers.map((reader, i) => reader.until(chunks(1 + i * 3))));

  await dying.stop('SIGKILL');
  await Promise.all(readers.map(({ ended }) => ended));
  fleet.hurry();
  const stories = await Promise.all(
    readers.map(async ({ events }) => {
      const cursor = events.findLast((event) => event.id !== undefined)?.id;
      return readStory([...events, ...(await eventsOf(other.url, id, cursor))]);
    }),
  );

  for (const story of stories) {
    expect(story).toMatchObject({
      end: 'done',
      text: whole,
      takenBack: [],
    });
    expect(story.attempts).toHaveLength(1);
  }
});

test('queued requests of a dead ingress are ended after the grace, and the queue moves on', async () => {
  await startDying();
  const blockers = await Promise.all(
    Array.from({ length: slots }, (_, i) => createJob(other.url, 'long', { user: `block-${i}` })),
  );
  await Promise.all(blockers.map((_, i) => upstream(fleet.primary, `block-${i}`)));
  const queue = observeQueue(fleet);
  for (let i = 0; i < slots; i++) ask(dying.url, 'long', { body: { user: `orphan-${i}` } });
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: slots });

  await dying.stop('SIGKILL');
  const behind = ask(other.url, 'short', { body: { user: 'behind' } });
  await Promise.all(blockers.map((id) => cancelJob(other.url, id)));

  await expectWhole(behind, expectedText({ tokens: 10 }));
  // Their ingress might have come back: only the grace tells.
  for (let i = 0; i < slots; i++) {
    const { arrivedAt } = await upstream(fleet.primary, `orphan-${i}`);
    await expectClosed(fleet.primary, `orphan-${i}`, arrivedAt, graceMs + 1500);
  }
  await expectEmpty(queue);
});

test('a queued request whose ingress is only cut off for a moment is served', async () => {
  const blockers = await Promise.all(
    Array.from({ length: slots }, (_, i) => createJob(other.url, 'long', { user: `block-${i}` })),
  );
  await Promise.all(blockers.map((_, i) => upstream(fleet.primary, `block-${i}`)));
  const queue = observeQueue(fleet);
  const waiting = Array.from({ length: slots }, () => ask(other.url, 'short'));
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: slots });
  await sleep(2 * graceMs); // They are older than the grace.

  // While the jobs are taken, no ingress listens: as after a restart of Redis.
  const redis = fleet.redis.connect();
  const cancelled = Promise.all(blockers.map((id) => cancelJob(other.url, id)));
  for (let cut = true; cut;) {
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    cut = (await queue.counts()).waiting > 0;
  }
  await cancelled;

  for (const stream of waiting) await expectWhole(stream, expectedText({ tokens: 10 }));
});
