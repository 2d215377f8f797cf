import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startFleet } from '../harness/fleet.ts';
import type { Fleet, FleetOptions, RoleProcess } from '../harness/fleet.ts';
import { expectedText } from '../simulator/index.ts';
import { ask, askWhole, createJob, eventsOf, follow, getJob } from './client.ts';
import { chunks, expectWhole, readPlain, readStory } from './judge.ts';
import { expectClosed, upstream } from './observe.ts';

let fleet: Fleet;
afterEach(() => fleet?.close());

const models = {
  brief: 'healthy:tokens=60,pace=10',
  long: 'healthy:tokens=2000,pace=10',
  middle: 'healthy:tokens=100,pace=10',
  // Without continuation a plain reader of a broken answer gets its error.
  fragile: {
    targets: [{ provider: 'primary', model: 'healthy:tokens=100,pace=10' }],
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
      expect(story).toMatchObject({ end: 'done', text: expectedText({ tokens: 100 }) });
      // What was shown before the seam was either taken back, or is a part of the whole.
      for (const text of story.takenBack) {
        expect(expectedText({ tokens: 100 }).startsWith(text)).toBe(true);
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
      expect(expectedText({ tokens: 100 }).startsWith(text)).toBe(true);
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
    expect(Date.now() - since).toBeLessThan(500);
    await expectClosed(fleet.primary, 'impatient', since, 200);
  });
});

describe('an ingress that is told to stop', () => {
  test('accepts no more, finishes its streams, and exits 0', async () => {
    await start({ ingresses: 2 });
    const [leaving, staying] = fleet.ingresses as [RoleProcess, RoleProcess];
    const plain = ask(leaving.url, 'brief');
    const whole = askWhole(leaving.url, 'brief', { body: { user: 'whole' } });
    const id = await createJob(leaving.url, 'brief');
    const native = follow(leaving.url, id);
    await Promise.all([plain.until(chunks(3)), native.until(chunks(3))]);
    await upstream(fleet.primary, 'whole');

    const stopped = leaving.stop('SIGTERM');
    await expect.poll(() => connects(leaving.url)).toBe(false);

    await expectWhole(plain, expectedText({ tokens: 60 }));
    await native.ended;
    expect(readStory(native.events).text).toBe(expectedText({ tokens: 60 }));
    await whole.ended;
    expect((await whole.head).status).toBe(200);
    expect(await stopped).toBe(0);
    await expectWhole(ask(staying.url, 'brief'), expectedText({ tokens: 60 }));
  });

  test('is not held up by connections that are kept open for nothing', async () => {
    await start({ config: { drainTimeout: '10s' } });
    const [ingress] = fleet.ingresses as [RoleProcess];
    const agent = new Agent({ keepAlive: true });
    await getOnce(`${ingress.url}/healthz`, agent);
    const socket = new WebSocket(`${ingress.url.replace('http', 'ws')}/v1/ws`);
    await once(socket, 'open');
    const closed = once(socket, 'close');

    const since = Date.now();
    expect(await ingress.stop('SIGTERM')).toBe(0);

    expect(Date.now() - since).toBeLessThan(2000);
    // "Service restart": the client comes back elsewhere.
    expect((await closed)[0]).toBe(1012);
    agent.destroy();
  });

  test('lets the requests of a WebSocket end before it closes the socket', async () => {
    await start({ config: { drainTimeout: '10s' } });
    const [ingress] = fleet.ingresses as [RoleProcess];
    const socket = new WebSocket(`${ingress.url.replace('http', 'ws')}/v1/ws`);
    const types: string[] = [];
    let onFrame = () => {};
    socket.on('message', (data: Buffer) => {
      types.push((JSON.parse(data.toString()) as { type: string }).type);
      onFrame();
    });
    await once(socket, 'open');
    const closed = once(socket, 'close');
    const running = new Promise<void>((resolve) => {
      onFrame = () => {
        if (types.includes('chunk')) resolve();
      };
    });
    const body = { model: 'brief', messages: [{ role: 'user', content: 'hi' }], stream: true };
    socket.send(JSON.stringify({ type: 'create', body }));
    await running;

    const since = Date.now();
    expect(await ingress.stop('SIGTERM')).toBe(0);

    expect(Date.now() - since).toBeLessThan(3000);
    expect(types.at(-1)).toBe('done');
    expect((await closed)[0]).toBe(1012);
  });

  test('ends what does not end in time with one clear error, and its upstream', async () => {
    await start({ ingresses: 2, config: { drainTimeout: '300ms' } });
    const [leaving, staying] = fleet.ingresses as [RoleProcess, RoleProcess];
    const plain = ask(leaving.url, 'long', { body: { user: 'cut' } });
    const whole = askWhole(leaving.url, 'long', { body: { user: 'cut-whole' } });
    const id = await createJob(leaving.url, 'middle');
    const native = follow(leaving.url, id);
    await Promise.all([plain.until(chunks(3)), native.until(chunks(3))]);
    await upstream(fleet.primary, 'cut-whole');

    const since = Date.now();
    expect(await leaving.stop('SIGTERM')).toBe(0);

    expect((await readPlain(plain)).error?.code).toBe('server_shutting_down');
    await whole.ended;
    expect((await whole.head).status).toBe(503);
    await expectClosed(fleet.primary, 'cut', since, 1000);
    await expectClosed(fleet.primary, 'cut-whole', since, 1000);
    // A job is nobody's: its reader goes on at another ingress, from its cursor.
    await native.ended;
    const cursor = native.events.findLast((event) => event.id !== undefined)?.id;
    const rest = await eventsOf(staying.url, id, cursor);
    const story = readStory([...native.events, ...rest]);
    expect(story).toMatchObject({ end: 'done', text: expectedText({ tokens: 100 }) });
  });

  test('is not held up by readers that take nothing', async () => {
    await start({
      config: { drainTimeout: '300ms' },
      models: { huge: 'big:bytes=33554432', long: 'healthy:tokens=2000,pace=10' },
    });
    const [ingress] = fleet.ingresses as [RoleProcess];
    const stuck = ask(fleet.url, 'huge', { body: { user: 'stuck' }, keepRaw: false });
    await stuck.until(({ bytes }) => bytes > 0);
    stuck.pause();
    const socket = new WebSocket(`${ingress.url.replace('http', 'ws')}/v1/ws`);
    await once(socket, 'open');
    const body = { model: 'long', messages: [{ role: 'user', content: 'hi' }], stream: true };
    socket.send(JSON.stringify({ type: 'create', body: { ...body, user: 'stuck-socket' } }));
    await upstream(fleet.primary, 'stuck-socket');
    socket.pause();

    const since = Date.now();
    expect(await ingress.stop('SIGTERM')).toBe(0);

    expect(Date.now() - since).toBeLessThan(4000);
    await expectClosed(fleet.primary, 'stuck-socket', since, 4000);
  });

  test('exits at once when it is asked again later', async () => {
    await start({});
    const [ingress] = fleet.ingresses as [RoleProcess];
    const stream = ask(fleet.url, 'long');
    await stream.until(chunks(3));
    const stopped = ingress.stop('SIGTERM');
    const heard = stream.events.length;
    await stream.until(({ events }) => events.length > heard + 115);
    ingress.child.kill('SIGTERM');
    expect(await stopped).toBe(143);
    // Cut short by an impatient operator: at least it does not look like an answer.
    expect(await stream.ended).toBe('broken');
  });

  test('logs nothing alarming while it drains', async () => {
    await start({});
    const [ingress] = fleet.ingresses as [RoleProcess];
    const [worker] = fleet.workers as [RoleProcess];
    const stream = ask(fleet.url, 'brief');
    await stream.until(chunks(3));
    expect(await Promise.all([ingress.stop(), worker.stop()])).toEqual([0, 0]);
    expect(ingress.stderr()).not.toMatch(/"level":(50|60)/);
    expect(worker.stderr()).not.toMatch(/"level":(50|60)/);
  });
});

async function connects(url: string): Promise<boolean> {
  return fetch(`${url}/healthz`, { headers: { connection: 'close' } }).then(
    () => true,
    () => false,
  );
}

async function getOnce(url: string, agent: Agent): Promise<void> {
  const outgoing = request(url, { agent }).end();
  const [response] = (await once(outgoing, 'response')) as [NodeJS.ReadableStream];
  response.resume();
  await once(response, 'end');
}
