import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';
import { ask, askWhole, cancelJob, createJob, eventsOf, follow, requestId } from '../kit/client.ts';
import { chunks, readStory } from '../kit/judge.ts';
import { asked, expectClosed, expectEmpty, observeQueue, upstream } from '../kit/observe.ts';
import type { ObservedQueue } from '../kit/observe.ts';

let fleet: Fleet;
let queue: ObservedQueue;
const slots = 3;
const keep = { 'x-millrace-on-disconnect': 'keep' };

beforeAll(async () => {
  fleet = await startFleet({
    models: {
      long: 'healthy:tokens=2000,pace=10',
      brief: 'healthy:tokens=60,pace=10',
      slow: 'healthy:first=9000',
      short: 'healthy:tokens=10',
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

test('a client that leaves before the first token closes the upstream within 100 ms', async () => {
  const stream = ask(fleet.url, 'slow', { body: { user: 'left-early' } });
  await upstream(fleet.primary, 'left-early');
  await expectClosed(fleet.primary, 'left-early', stream.leave());
  await expectEmpty(queue);
  expect(asked(fleet.primary, 'left-early')).toBe(1);
});

test('a client that leaves in mid-stream closes the upstream within 100 ms', async () => {
  const stream = ask(fleet.url, 'long', { body: { user: 'left-midway' } });
  await stream.until(chunks(5));
  const id = await requestId(stream);
  await expectClosed(fleet.primary, 'left-midway', stream.leave());
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('cancelled');
  await expectEmpty(queue);
});

test('a client that leaves a call without a stream closes the upstream within 100 ms', async () => {
  const call = askWhole(fleet.url, 'long', { body: { user: 'left-whole' } });
  await upstream(fleet.primary, 'left-whole');
  await expectClosed(fleet.primary, 'left-whole', call.leave());
  await expectEmpty(queue);
  expect(asked(fleet.primary, 'left-whole')).toBe(1);
});

test('fifty clients that leave together all close their upstreams at once', async () => {
  // More than the worker has slots for: most of them wait, and move up while the others leave.
  const users = Array.from({ length: 50 }, (_, i) => `left-together-${i}`);
  const streams = users.map((user) => ask(fleet.url, 'long', { body: { user } }));
  const open = () => fleet.primary.requests.filter(({ state }) => state === 'open');
  await expect.poll(() => open().filter(({ tokens }) => tokens > 3).length).toBe(slots);
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: users.length - slots });
  const running = open();

  const since = Date.now();
  for (const stream of streams) stream.leave();

  await expectEmpty(queue);
  for (const { user } of running.map(({ body }) => body as { user: string })) {
    // 100 ms are the promise for one; here one process cancels fifty, beside the rest of the suite.
    await expectClosed(fleet.primary, user, since, 1000);
  }
  expect(open()).toEqual([]);
});

test('a client that leaves while its request is queued takes it out of the queue', async () => {
  const blockers = await Promise.all(
    Array.from({ length: slots }, (_, i) => createJob(fleet.url, 'long', { user: `block-${i}` })),
  );
  await Promise.all(blockers.map((_, i) => upstream(fleet.primary, `block-${i}`)));
  const streams = [
    ask(fleet.url, 'short', { body: { user: 'left-queued' } }),
    askWhole(fleet.url, 'short', { body: { user: 'left-queued' } }),
  ];
  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 2 });

  for (const stream of streams) stream.leave();

  await expect.poll(() => queue.counts()).toMatchObject({ waiting: 0 });
  const next = await createJob(fleet.url, 'short');
  await Promise.all(blockers.map((id) => cancelJob(fleet.url, id)));
  expect(readStory(await eventsOf(fleet.url, next)).end).toBe('done');
  expect(asked(fleet.primary, 'left-queued')).toBe(0);
});

test('with keep, the request runs on to its end and can be read from the place where it was left', async () => {
  const stream = ask(fleet.url, 'brief', { body: { user: 'kept' }, headers: keep });
  await stream.until(chunks(5));
  const id = await requestId(stream);
  stream.leave();
  const seen = stream.events.map(({ data }) => data);
  const cursor = stream.events.at(-1)?.id;

  const rest = await eventsOf(fleet.url, id, cursor);

  const story = readStory(await eventsOf(fleet.url, id));
  expect(story).toMatchObject({ end: 'done', text: expectedText({ tokens: 60 }) });
  expect((await upstream(fleet.primary, 'kept')).state).toBe('finished');
  // What was seen, and what came after it, is all of it, once.
  const all = (await eventsOf(fleet.url, id)).filter(({ event }) => event === 'chunk');
  const after = rest.filter(({ event }) => event === 'chunk');
  expect([...seen, ...after.map(({ data }) => data)]).toEqual(all.map(({ data }) => data));
});

test('with keep, a call without a stream runs on to its end', async () => {
  const call = askWhole(fleet.url, 'brief', { body: { user: 'kept-whole' }, headers: keep });
  await upstream(fleet.primary, 'kept-whole');
  call.leave();
  const done = await fleet.primary.waitFor(
    ({ body, state }) => (body as { user?: string }).user === 'kept-whole' && state !== 'open',
  );
  expect(done.state).toBe('finished');
});

test('readers that leave a kept request do not disturb those that stay', async () => {
  const stream = ask(fleet.url, 'brief', { body: { user: 'kept-shared' }, headers: keep });
  await stream.until(chunks(3));
  const id = await requestId(stream);
  const [leaver, stayer] = [follow(fleet.url, id), follow(fleet.url, id)];
  await Promise.all([leaver.until(chunks(5)), stayer.until(chunks(5))]);

  stream.leave();
  leaver.leave();

  await stayer.ended;
  expect(readStory(stayer.events)).toMatchObject({
    end: 'done',
    text: expectedText({ tokens: 60 }),
  });
});

test('readers of a request whose own client leaves are told that it was cancelled', async () => {
  const stream = ask(fleet.url, 'long', { body: { user: 'left-shared' } });
  await stream.until(chunks(3));
  const reader = follow(fleet.url, await requestId(stream));
  await reader.until(chunks(5));

  await expectClosed(fleet.primary, 'left-shared', stream.leave());

  await reader.ended;
  expect(readStory(reader.events).end).toBe('cancelled');
});

test('a reader that leaves a job does not end it', async () => {
  const id = await createJob(fleet.url, 'brief', { user: 'job-left' });
  const reader = follow(fleet.url, id);
  await reader.until(chunks(3));
  reader.leave();
  expect(readStory(await eventsOf(fleet.url, id)).end).toBe('done');
});

test('a WebSocket that closes ends what it created, but for what it detached', async () => {
  const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/v1/ws`);
  const created = Promise.withResolvers<string>();
  socket.on('message', (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as { type: string; id: string; ref?: string };
    if (frame.type === 'created' && frame.ref === 'kept') created.resolve(frame.id);
  });
  await new Promise((resolve) => socket.once('open', resolve));
  const create = (user: string, model: string, more: object) =>
    socket.send(
      JSON.stringify({
        type: 'create',
        body: { model, messages: [{ role: 'user', content: 'hi' }], stream: true, user },
        ...more,
      }),
    );
  create('socket-owned', 'long', {});
  create('socket-detached', 'brief', { ref: 'kept', detached: true });
  await upstream(fleet.primary, 'socket-owned');
  await upstream(fleet.primary, 'socket-detached');
  // The provider may be asked before this socket has read of it, and behind its end nothing comes.
  const id = await created.promise;

  const since = Date.now();
  socket.terminate();

  await expectClosed(fleet.primary, 'socket-owned', since);
  const story = readStory(await eventsOf(fleet.url, id));
  expect(story).toMatchObject({ end: 'done', text: expectedText({ tokens: 60 }) });
});
