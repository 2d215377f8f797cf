import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, createJob, eventsOf, follow, getJob, requestId } from '../kit/client.ts';
import type { SseEvent } from '../kit/client.ts';
import { chunks, expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectAlive, expectEmpty, observeQueue, userOf } from '../kit/observe.ts';

// A Redis that comes back without its last writes, as after a failover to a replica that was behind:
// what readers have been shown is gone, and the workers are in the middle of what follows it.

// Longer than Redis takes to come back, however busy the machine is.
const tokens = 600;
const whole = expectedText({ tokens });

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    redisArgs: ['--appendonly', 'no'],
    models: { middle: `healthy:tokens=${tokens},pace=20`, short: 'healthy:tokens=10' },
  });
});
beforeEach(() => fleet.primary.reset());
afterAll(() => fleet?.close());

/** Starts Redis again as it was at the moment of the copy. */
async function loseWrites(sinceCopy: () => Promise<unknown>): Promise<void> {
  await fleet.redis.connect().save();
  await sinceCopy();
  await fleet.redis.kill('SIGKILL');
  await fleet.redis.start();
}

/** The reader was told once to forget what it had, and what came then is the whole. */
function expectAnew(events: readonly SseEvent[]): void {
  const resets = events.filter(({ event }) => event === 'reset');
  expect(resets.map(({ data }) => JSON.parse(data))).toEqual([{ reason: 'cursor_ahead' }]);
  const anew = events.slice(events.findIndex(({ event }) => event === 'reset') + 1);
  expect(readStory(anew)).toMatchObject({ end: 'done', text: whole, takenBack: [] });
}

test('no log has a hole: what was lost is written again, for every reader', async () => {
  const id = await createJob(fleet.url, 'middle', { user: 'job' });
  const reader = follow(fleet.url, id);
  await reader.until(chunks(20));
  await loseWrites(() => reader.until(chunks(40)));
  await reader.until(({ events }) => events.some(({ event }) => event === 'reset'));
  fleet.hurry();

  await reader.ended;
  expectAnew(reader.events);
  // Who comes later is shown no less.
  expect(readStory(await eventsOf(fleet.url, id))).toMatchObject({ end: 'done', text: whole });
  const { result, attempts } = await getJob(fleet.url, id);
  expect(result?.choices[0]?.message.content).toBe(whole);
  expect(attempts.map(({ outcome }) => outcome)).toEqual(['worker_lost', 'completed']);
  await expectEmpty(observeQueue(fleet));
  expectAlive([...fleet.workers, ...fleet.ingresses]);
});

test('a reader that cannot take text back has one error, and its request ends', async () => {
  const stream = ask(fleet.url, 'middle', { body: { user: 'plain' } });
  await stream.until(chunks(20));
  const id = await requestId(stream);
  await loseWrites(() => stream.until(chunks(40)));

  const { end, error, text } = await readPlain(stream);
  expect({ end, code: error?.code }).toEqual({ end: 'error', code: 'stream_lost' });
  expect(whole.startsWith(text)).toBe(true);
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('cancelled');
  await expectEmpty(observeQueue(fleet));
  const open = () => fleet.primary.requests.filter(({ state }) => state === 'open');
  await expect.poll(open).toEqual([]);
  await expectWhole(ask(fleet.url, 'short'), expectedText({ tokens: 10 }));
  expectAlive([...fleet.workers, ...fleet.ingresses]);
});

test('an answer whose end was on its way is not ended behind a hole', async () => {
  const id = await createJob(fleet.url, 'middle', { user: 'ending' });
  const reader = follow(fleet.url, id);
  await reader.until(chunks(20));
  // The provider has said all; the end of it comes to a Redis that knows the beginning.
  await loseWrites(async () => {
    await reader.until(chunks(40));
    process.kill(fleet.redis.pid, 'SIGSTOP');
    fleet.hurry();
    await fleet.primary.waitFor((one) => userOf(one) === 'ending' && one.state === 'finished');
  });

  await reader.ended;
  expectAnew(reader.events);
  expect(readStory(await eventsOf(fleet.url, id))).toMatchObject({ end: 'done', text: whole });
  expect(asked(fleet.primary, 'ending')).toBe(2);
  await expectEmpty(observeQueue(fleet));
});
