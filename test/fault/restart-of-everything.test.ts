import { keyspace } from '@millrace/shared/store/keys';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { createJob, eventsOf, follow, getJob, untimed } from '../kit/client.ts';
import { chunks, readStory } from '../kit/judge.ts';
import { asked, expectEmpty, isAlive, observeQueue, upstream } from '../kit/observe.ts';

const slots = 2;
const text = (tokens: number) => expectedText({ tokens });

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    // What Redis has acknowledged is on the disk: nothing is left to luck but what is tested.
    redisArgs: ['--appendfsync', 'always'],
    models: { middle: 'healthy:tokens=200,pace=20', short: 'healthy:tokens=10' },
    config: { limits: { workerConcurrency: slots } },
  });
});
beforeEach(async () => {
  fleet.primary.reset();
  // A test that fails may leave none, or more than the one that it began with.
  if (fleet.workers.filter(isAlive).length === 1) return;
  await fleet.killWorkers();
  await fleet.addWorker();
});
afterAll(() => fleet?.close());

/** Kills every process with SIGKILL at once, and starts Redis, and one ingress, again. */
async function restart(): Promise<void> {
  const roles = [...fleet.workers.splice(0), ...fleet.ingresses.splice(0)];
  await Promise.all([fleet.redis.kill('SIGKILL'), ...roles.map((role) => role.stop('SIGKILL'))]);
  await fleet.redis.start();
  await fleet.addIngress();
}

/**
 * BullMQ gives a dead worker's job to another when its lock has expired and two of its checks, 30 s
 * apart, have found it so. This is that minute in short: the lock runs out, and each worker that
 * starts makes the next check. Returns at once when somebody has taken the job up before.
 */
async function letLockExpire(id: string): Promise<void> {
  const redis = fleet.redis.connect();
  const queue = observeQueue(fleet);
  const prefix = `${keyspace().tag(0)}:requests`;
  await redis.pexpire(`${prefix}:${id}:lock`, 1);
  await redis.pexpire(`${prefix}:stalled-check`, 1);
  await fleet.addWorker();
  const isActive = async () => (await queue.state(id)) === 'active';
  const isMarked = async () => (await redis.sismember(`${prefix}:stalled`, id)) === 1;
  await expect.poll(async () => (await isMarked()) || !(await isActive())).toBe(true);
  await redis.pexpire(`${prefix}:stalled-check`, 1);
  await fleet.addWorker();
}

test('finished jobs can be read again, and queued ones are served', async () => {
  const finished = await createJob(fleet.url, 'short', { user: 'finished' });
  const story = await eventsOf(fleet.url, finished);
  const running = await Promise.all(
    Array.from({ length: slots }, (_, i) => createJob(fleet.url, 'middle', { user: `run-${i}` })),
  );
  await Promise.all(running.map((_, i) => upstream(fleet.primary, `run-${i}`)));
  const queued = await Promise.all(
    Array.from({ length: 20 }, (_, i) => createJob(fleet.url, 'short', { user: `queued-${i}` })),
  );

  await restart();

  expect(await eventsOf(fleet.url, finished)).toEqual(story);
  expect(await getJob(fleet.url, finished)).toMatchObject({
    status: 'completed',
    result: { choices: [{ message: { content: text(10) } }] },
  });
  const places = await Promise.all(queued.map((id) => getJob(fleet.url, id)));
  expect(places.map(({ queue_position: place }) => place)).toEqual(queued.map((_, i) => i));
  const readers = queued.map((id) => follow(fleet.url, id));
  await fleet.addWorker();
  // Those that ran are taken up, too, and end.
  fleet.hurry();
  await Promise.all(readers.map(({ ended }) => ended));
  for (const { events } of readers) {
    expect(readStory(events)).toMatchObject({ end: 'done', text: text(10) });
  }
  for (const [i] of queued.entries()) expect(asked(fleet.primary, `queued-${i}`)).toBe(1);
  await expectEmpty(observeQueue(fleet));
});

test('a running job keeps its log, and is taken up again when its lock has expired', async () => {
  const id = await createJob(fleet.url, 'middle', { user: 'running' });
  const reader = follow(fleet.url, id);
  await reader.until(chunks(20));

  await restart();
  await reader.ended;

  // What the reader had been shown is all still there, and the job is known to be under way.
  const queue = observeQueue(fleet);
  expect(['active', 'waiting']).toContain(await queue.state(id));
  const again = follow(fleet.url, id);
  await again.until(({ events }) => events.length >= reader.events.length);
  expect(untimed(again.events).slice(0, reader.events.length)).toEqual(untimed(reader.events));

  await letLockExpire(id);
  fleet.hurry();

  await again.ended;
  const story = readStory(again.events);
  expect(story).toMatchObject({ end: 'done', text: text(200) });
  expect(story.attempts.map(({ attempt }) => attempt)).toEqual([1, 2]);
  for (const taken of story.takenBack) expect(text(200).startsWith(taken)).toBe(true);
  await expect.poll(() => queue.state(id)).toBe('completed');
});
