import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, createJob, eventsOf, follow, getJob } from '../kit/client.ts';
import { chunks, expectWhole, readPlain, readStory } from '../kit/judge.ts';
import { asked, expectClosed, isAlive, upstream, userOf } from '../kit/observe.ts';
import { followed } from '../kit/takeover.ts';

// One ingress for all of them, and the worker that a test has left. No slow answer is waited for: it ends as soon as
// the test has seen enough of it.
let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ workers: 0, models });
});
beforeEach(() => fleet.primary.reset());
afterAll(() => fleet?.close());

const models = {
  brief: 'healthy:tokens=60,pace=50',
  long: 'healthy:tokens=600,pace=50',
  // Without continuation a plain reader of a broken answer gets its error.
  fragile: {
    targets: [{ provider: 'primary', model: 'healthy:tokens=600,pace=50' }],
    continuation: 'off',
  },
  slow: 'healthy:tokens=10,first=30000',
};

/** The worker that is there, or a new one. */
const oneWorker = async (): Promise<RoleProcess> =>
  fleet.workers.find(isAlive) ?? (await fleet.addWorker());

describe('a worker that gets SIGTERM', () => {
  test('finishes its streams, takes no more jobs, and exits 0', async () => {
    const worker = await oneWorker();
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
    fleet.hurry();

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

  test('takes the same signal twice within a second as one', async () => {
    // On a busy machine the second may be over before the worker gets the last signal: then the test stops another worker.
    for (let isInTime = false; !isInTime;) {
      fleet.primary.reset();
      const worker = await oneWorker();
      const stream = ask(fleet.url, 'brief');
      await stream.until(chunks(3));
      const first = performance.now();
      const stopped = worker.stop('SIGTERM');
      worker.child.kill('SIGTERM');
      // The system makes one of two signals that come together.
      await stream.until(chunks(5));
      isInTime = performance.now() - first < 500;
      if (isInTime) worker.child.kill('SIGTERM');
      fleet.hurry();
      await expectWhole(stream, expectedText({ tokens: 60 }));
      expect(await stopped).toBe(0);
    }
  });

  test('exits at once when it is asked again later', async () => {
    const worker = await oneWorker();
    const stream = ask(fleet.url, 'long', { body: { user: 'impatient' } });
    await stream.until(chunks(3));
    const stopped = worker.stop('SIGTERM');
    const heard = stream.events.length;
    // A token every 50 ms: more than a second.
    await stream.until(({ events }) => events.length > heard + 25);
    worker.child.kill('SIGTERM');
    expect(await stopped).toBe(143);
    // Its connections end with the process.
    const { state } = await fleet.primary.waitFor(
      (one) => userOf(one) === 'impatient' && one.state !== 'open',
    );
    expect(state).toBe('aborted by client');
    // The next worker finds its request cancelled.
    stream.leave();
  });
});

describe('a worker that gets SIGTERM and has little time', () => {
  beforeAll(async () => {
    await fleet.killWorkers();
    await fleet.reconfigure({ drainTimeout: '100ms' });
  });

  test('hands back what it cannot finish in time, and another worker does it', async () => {
    const worker = await oneWorker();
    const ids = await Promise.all(
      Array.from({ length: 5 }, (_, i) => createJob(fleet.url, 'long', { user: `job-${i}` })),
    );
    const readers = ids.map((id) => follow(fleet.url, id));
    await Promise.all(readers.map((reader) => reader.until(chunks(5))));
    await fleet.addWorker();

    expect(await worker.stop('SIGTERM')).toBe(0);
    await followed(readers);
    fleet.hurry();

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
    const worker = await oneWorker();
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
      expect(expectedText({ tokens: 600 }).startsWith(text)).toBe(true);
    }
  });

  test('serves a plain request that had shown nothing yet at another worker, unseen', async () => {
    const worker = await oneWorker();
    const stream = ask(fleet.url, 'slow', { body: { user: 'slow' } });
    const whole = askWhole(fleet.url, 'slow', { body: { user: 'slow-whole' } });
    await upstream(fleet.primary, 'slow');
    await upstream(fleet.primary, 'slow-whole');
    await fleet.addWorker();

    const since = Date.now();
    expect(await worker.stop('SIGTERM')).toBe(0);
    // The first call does not run on beside the second.
    await expectClosed(fleet.primary, 'slow', since, 500);
    const calls = () => ['slow', 'slow-whole'].map((user) => asked(fleet.primary, user));
    await expect.poll(calls).toEqual([2, 2]);
    fleet.hurry();

    await expectWhole(stream, expectedText({ tokens: 10 }));
    await whole.ended;
    expect((await whole.head).status).toBe(200);
  });
});
