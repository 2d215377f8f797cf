import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { openSocket } from '../kit/socket.ts';
import { bigText, expectedText } from '../../apps/simulator/src/index.ts';
import { createJob } from '../kit/client.ts';
import { createPace } from '../kit/pace.ts';
import { inTime } from '../kit/patience.ts';
import { contentOf } from '../kit/judge.ts';
import { userOf } from '../kit/observe.ts';
import { parsePrometheus, sumOf } from '../kit/prometheus.ts';

const mebi = 1024 * 1024;

/** Twice what the kernel usually takes for a reader that takes nothing. */
const someBytes = 10 * mebi;
/** Enough for a socket at a steady pace to be slow for some seconds. */
const longBytes = 16 * mebi;

const models = {
  some: `big:bytes=${someBytes}`,
  long: `big:bytes=${longBytes}`,
  middle: `big:bytes=${6 * mebi}`,
  steady: 'healthy:tokens=100,pace=10',
};

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ ingresses: 0, models });
});
afterEach(() => fleet.primary.reset());
afterAll(() => fleet?.close());

const start = (limits: Record<string, string>, count = 1) =>
  fleet.replaceIngress({ limits }, { count });

const finished = (user: string) =>
  fleet.primary.waitFor((request) => userOf(request) === user && request.state === 'finished', {
    timeoutMs: 60_000,
  });

/** What the ingress counts, summed over the series that carry these labels. */
async function counted(name: string, labels: Record<string, string> = {}): Promise<number> {
  const page = await (await fetch(`${fleet.url}/metrics`)).text();
  return sumOf(parsePrometheus(page), name, labels);
}

/** What the ingress holds for its readers: the kernel has not taken it. */
const waitingBytes = () => counted('millrace_bound_bytes', { what: 'reader_buffers' });

type Frame = { type: string; id: string; entry?: string; data: Record<string, unknown> };

/** A socket that remembers what it read of each request, and takes so many bytes a second. */
async function openSlow(bytesPerSecond = Infinity) {
  const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/v1/ws`);
  const texts = new Map<string, string>();
  const last = new Map<string, string>();
  const ended = Promise.withResolvers<void>();
  socket.on('message', (bytes: Buffer) => {
    const { type, id, entry, data } = JSON.parse(bytes.toString()) as Frame;
    if (entry !== undefined) last.set(id, entry);
    if (type === 'chunk') texts.set(id, (texts.get(id) ?? '') + contentOf(JSON.stringify(data)));
    if (type === 'done') ended.resolve();
  });
  await once(socket, 'open');
  const closed = once(socket, 'close') as Promise<[number, Buffer]>;
  const { _socket: raw } = socket as unknown as { _socket: NodeJS.ReadableStream };
  if (bytesPerSecond !== Infinity) {
    const keepPace = createPace(socket, bytesPerSecond);
    raw.on('data', (part: Buffer) => keepPace(part.length));
  }
  const subscribe = (id: string) => socket.send(JSON.stringify({ type: 'subscribe', id }));
  return { socket, texts, last, subscribe, ended: ended.promise, closed };
}

test('a socket that stood still is ended, and all its requests go on where each was', async () => {
  await start({ readerBuffer: '64KiB', readerStall: '300ms' }, 2);
  const slow = await openSlow();
  const big = await createJob(fleet.url, 'some', { user: 'big' });
  const small = await createJob(fleet.url, 'steady', { user: 'small' });
  await expect.poll(() => counted('millrace_websockets_open')).toBe(1);
  slow.subscribe(small);
  slow.subscribe(big);
  // At once: for a reader that reads fast the kernel takes up to 32 MiB.
  slow.socket.pause();
  await expect.poll(() => counted('millrace_websockets_open')).toBe(0);
  await Promise.all([finished('big'), finished('small')]);
  slow.socket.resume();
  await slow.closed;
  expect(slow.texts.get(big)?.length).toBeLessThan(someBytes);

  // On the other ingress, from what it has.
  const socket = await openSocket(fleet.ingresses[1]?.url ?? '');
  for (const id of [big, small]) {
    const after = slow.last.get(id);
    socket.send({ type: 'subscribe', id, ...(after === undefined ? {} : { after }) });
  }
  for (const id of [big, small]) {
    await socket.next((frame) => frame.id === id && frame.type === 'done');
    const rest = socket.frames
      .filter((frame) => frame.id === id && frame.type === 'chunk')
      .map(({ data }) => contentOf(JSON.stringify(data)));
    const text = (slow.texts.get(id) ?? '') + rest.join('');
    expect(text === (id === big ? bigText(someBytes) : expectedText({ tokens: 100 }))).toBe(true);
  }
  await socket.close();
});

test('a socket that is slow but takes a little all the time is not ended, in one long frame either', async () => {
  await start({ readerBuffer: '64KiB', readerStall: '2s' });
  const id = await createJob(fleet.url, 'long', { user: 'whole', stream: false });
  await finished('whole');
  // What the kernel has not taken of the frame usually takes four seconds, longer than a reader may stand still.
  const slow = await openSlow(2.5 * mebi);
  slow.subscribe(id);
  await inTime(slow.ended, () => `closed: ${slow.socket.readyState}`);
  expect(slow.socket.readyState).toBe(WebSocket.OPEN);
  slow.socket.terminate();
});

test('a socket that is slow is not taken for dead while its pong lies behind what it takes', async () => {
  // The stall is longer than the client takes for what the kernel holds, also on a busy machine.
  await start({ readerBuffer: '64MiB', readerStall: '60s', socketPing: '1s' });
  const id = await createJob(fleet.url, 'middle', { user: 'middle', stream: false });
  await finished('middle');
  const slow = await openSlow(2 * mebi);
  slow.subscribe(id);
  await inTime(slow.ended, () => `closed: ${slow.socket.readyState}`);
  expect(slow.socket.readyState).toBe(WebSocket.OPEN);
  slow.socket.terminate();
});

test('one stream that is too large for its socket leaves the others of the socket whole', async () => {
  await start({ readerBuffer: '64KiB', readerStall: '30s' });
  const slow = await openSlow();
  const big = await createJob(fleet.url, 'some', { user: 'big' });
  slow.subscribe(big);
  slow.socket.pause();
  await finished('big');
  await expect.poll(waitingBytes).toBeGreaterThan(0);
  const small = await createJob(fleet.url, 'steady', { user: 'small' });
  slow.subscribe(small);
  slow.socket.resume();
  await expect.poll(() => slow.texts.get(small)).toBe(expectedText({ tokens: 100 }));
  await expect.poll(() => slow.texts.get(big)?.length).toBe(someBytes);
  expect(slow.texts.get(big) === bigText(someBytes)).toBe(true);
  slow.socket.terminate();
});
