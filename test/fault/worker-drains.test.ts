import { afterEach, describe, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, FleetOptions, RoleProcess } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, createJob, eventsOf, follow, getJob } from '../kit/client.ts';
import { chunks, expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { latenessSince } from '../kit/lateness.ts';
import { expectClosed, upstream } from '../kit/observe.ts';

let fleet: Fleet;
afterEach(() => fleet?.close());

const models = {
  brief: 'healthy:tokens=60,pace=10',
  long: 'healthy:tokens=2000,pace=10',
  // Both are under way for longer than another worker takes to start.
  middle: 'healthy:tokens=600,pace=10',
  // Without continuation a plain reader of a broken answer gets its error.
  fragile: {
    targets: [{ provider: 'primary', model: 'healthy:tokens=2000,pace=10' }],
    continuation: 'off',
  },
};
const start = async (options: FleetOptions) => (fleet = await startFleet({ models, ...options }));

describe('a worker that is told to stop', () => {
  test('finishes its streams, takes no more jobs, and exits 0', async () => {
    await start({});
    const [worker] = fleet.workers as [RoleProcess];
    const id = await createJob(fleet.url, 'brief');
    const native = follow(fleet.url, id);
    const plain = ask(fleet.url, 'brief');
    const whole = askWhole(fleet.url, 'brief', { body: { user: 'whole' } });
    await Promise.all([plain.until(chunks(3)), native.until(chunks(3))]);
    await upstream(fleet.primary, 'whole');

    const stopped = worker.stop('SIGTERM');
    // Both are on Unix sockets and loopback: the signal is there long before the next job.
    await plain.until(chunks(10));
    const late = await createJob(fleet.url, 'brief', { user: 'late' });

    await expectWhole(plain, expectedText({ tokens: 60 }));
    await native.ended;
    expect(readStory(native.events)).toMatchObject({ end: 'done', takenBack: [] });
    await whole.ended;
    expect((await whole.head).status).toBe(200);
    expect(await stopped).toBe(0);

    expect(await getJob(fleet.url, late)).toMatchObject({ status: 'queued', queue_position: 0 });
    expect(fleet.primary.requests).toHaveLength(3);
    await fleet.addWorker();
    expect(readStory(await eventsOf(fleet.url, late)).end).toBe('done');
  });

  test('hands back what it cannot finish in time, and another worker does it', async () => {
    await start({ config: { drainTimeout: '200ms' } });
    const [worker] = fleet.workers as [RoleProcess];
    const ids = await Promise.all(
      Array.from({ length: 5 }, (_, i) => createJob(fleet.url, 'middle', { user: `job-${i}` })),
    );
    const readers = ids.map((id) => follow(fleet.url, id));
    await Promise.all(readers.map((reader) => reader.until(chunks(5))));
    await fleet.addWorker();

    expect(await worker.stop('SIGTERM')).toBe(0);

    await Promise.all(readers.map(({ ended }) => ended));
    for (const { events } of readers) {
      const story = readStory(events);
      expect(story).toMatchObject({ end: 'done', text: expectedText({ tokens: 600 }) });
      // What was shown before the seam was either taken back, or is a part of the whole.
      for (const text of story.takenBack) {
        expect(expectedText({ tokens: 600 }).startsWith(text)).toBe(true);
      }
      expect(story.attempts.length).toBeGreaterThanOrEqual(2);
    }
  });

  test('ends a plain stream with one clear error where nothing can go on with it', async () => {
    await start({ config: { drainTimeout: '100ms' } });
    const [worker] = fleet.workers as [RoleProcess];
    const streams = Array.from({ length: 5 }, () => ask(fleet.url, 'fragile'));
    await Promise.all(streams.map((stream) => stream.until(chunks(5))));
    await fleet.addWorker();

    expect(await worker.stop('SIGTERM')).toBe(0);

    for (const stream of streams) {
      const { end, error, text } = await readPlain(stream);
      expect({ end, code: error?.code }).toEqual({
        end: 'error',
        code: 'upstream_failed_mid_stream',
      });
      expect(expectedText({ tokens: 2000 }).startsWith(text)).toBe(true);
    }
  });

  test('serves a plain request that had shown nothing yet at another worker, unseen', async () => {
    await start({
      config: { drainTimeout: '100ms' },
      models: { slow: 'healthy:tokens=10,first=3000' },
    });
    const [worker] = fleet.workers as [RoleProcess];
    const stream = ask(fleet.url, 'slow', { body: { user: 'slow' } });
    const whole = askWhole(fleet.url, 'slow', { body: { user: 'slow-whole' } });
    await upstream(fleet.primary, 'slow');
    await upstream(fleet.primary, 'slow-whole');
    await fleet.addWorker();

    const since = Date.now();
    expect(await worker.stop('SIGTERM')).toBe(0);

    await expectWhole(stream, expectedText({ tokens: 10 }));
    await whole.ended;
    expect((await whole.head).status).toBe(200);
    // The first call did not run on beside the second.
    await expectClosed(fleet.primary, 'slow', since, 500);
  });

  test('takes the same signal twice within a second as one', async () => {
    await start({});
    const [worker] = fleet.workers as [RoleProcess];
    const stream = ask(fleet.url, 'brief');
    await stream.until(chunks(3));
    const stopped = worker.stop('SIGTERM');
    worker.child.kill('SIGTERM');
    await stream.until(chunks(10));
    worker.child.kill('SIGTERM');
    await expectWhole(stream, expectedText({ tokens: 60 }));
    expect(await stopped).toBe(0);
  });

  test('exits at once when it is asked again later', async () => {
    await start({});
    const [worker] = fleet.workers as [RoleProcess];
    const stream = ask(fleet.url, 'long', { body: { user: 'impatient' } });
    await stream.until(chunks(3));
    const stopped = worker.stop('SIGTERM');
    const heard = stream.events.length;
    // A token every 10 ms: more than a second.
    await stream.until(({ events }) => events.length > heard + 115);
    const since = Date.now();
    worker.child.kill('SIGTERM');
    expect(await stopped).toBe(143);
    expect(Date.now() - since).toBeLessThan(500 + latenessSince(since));
    await expectClosed(fleet.primary, 'impatient', since, 200);
  });
});
