import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet, RoleProcess } from '../kit/fleet.ts';
import { bigText, expectedText } from '../../apps/simulator/src/index.ts';
import { ask, createJob, eventsOf, follow, requestId } from '../kit/client.ts';
import { inTime } from '../kit/patience.ts';
import type { Stream } from '../kit/client.ts';
import { chunks, contentOf, expectWhole, readStory } from '../kit/judge.ts';
import { upstream, userOf } from '../kit/observe.ts';

const mebi = 1024 * 1024;
const bytes = 24 * mebi;
/** Twice what the kernel usually takes for a reader that takes nothing. */
const someBytes = 10 * mebi;
/** Enough for a reader at a steady pace to be slow for some seconds. */
const steadyBytes = 16 * mebi;
const keep = { 'x-millrace-on-disconnect': 'keep' };

const models = {
  big: `big:bytes=${bytes}`,
  some: `big:bytes=${someBytes}`,
  steady: `big:bytes=${steadyBytes}`,
  short: 'healthy:tokens=10',
  // Each piece is larger than the smallest bound, and the next one comes later.
  pieces: 'big:bytes=65536,piece=2048,pace=10',
};

let fleet: Fleet;
beforeAll(async () => {
  // An answer as large as this is not what bounds it here.
  const config = { limits: { streamLog: '256MiB' } };
  // Garbage of the young generation would hide what a reader costs.
  const ingressFlags = ['--max-semi-space-size=2'];
  fleet = await startFleet({ ingresses: 0, models, config, ingressFlags });
});
afterEach(() => fleet.primary.reset());
afterAll(() => fleet?.close());

const start = (limits: Record<string, string>, count = 1) =>
  fleet.replaceIngress({ limits }, { count });

const finished = (user: string) =>
  fleet.primary.waitFor((request) => userOf(request) === user && request.state === 'finished', {
    timeoutMs: 60_000,
  });

/** The peak of a process' memory in bytes, since `resetPeak`. */
function peakMemory({ child }: RoleProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

const resetPeak = ({ child }: RoleProcess) => writeFileSync(`/proc/${child.pid}/clear_refs`, '5');

/** Starts to read, and stops in the middle of the first packets. */
async function readAndStop(streams: Stream[]): Promise<void> {
  await Promise.all(
    streams.map(async (stream) => {
      await stream.until(chunks(1));
      stream.pause();
    }),
  );
}

test('readers that stop slow nobody down, cost a bounded memory, and can go on later', async () => {
  await start({ readerBuffer: '256KiB' }, 2);
  const [busy, burdened] = fleet.ingresses as [RoleProcess, RoleProcess];
  await expectWhole(ask(burdened.url, 'short'), expectedText({ tokens: 10 }));
  const before = peakMemory(burdened);
  resetPeak(burdened);

  const id = await createJob(busy.url, 'big', { user: 'big' });
  const reading = { keepText: false };
  const fast = follow(busy.url, id, undefined, reading);
  const slow = Array.from({ length: 12 }, () => follow(burdened.url, id, undefined, reading));
  await readAndStop(slow);

  // The provider is read to its end at its own pace, and the others have everything.
  await finished('big');
  await inTime(fast.ended, () => `the fast reader has ${fast.bytes} bytes`);
  const text = bigText(bytes);
  expect(readStory(fast.events).text === text).toBe(true);

  // Twelve readers wait for 288 MiB. Almost all of it waits in the log.
  for (const stream of slow) expect(stream.bytes).toBeLessThan(bytes / 2);
  expect(peakMemory(burdened) - before).toBeLessThan(120 * mebi);

  const [patient, ...others] = slow as [Stream, ...Stream[]];
  for (const stream of others) stream.leave();
  patient.resume();
  await inTime(patient.ended, () => `the slow reader has ${patient.bytes} bytes`);
  expect(readStory(patient.events).text === text).toBe(true);
});

test('a reader that takes nothing for too long is ended, and can resume', async () => {
  await start({ readerBuffer: '64KiB', readerStall: '300ms' });
  const id = await createJob(fleet.url, 'some', { user: 'stalled' });
  const stuck = follow(fleet.url, id, undefined, { keepText: false });
  await readAndStop([stuck]);
  await finished('stalled');
  await expect.poll(openReaders).toBe(0);

  stuck.resume();
  expect(await stuck.ended).toMatchObject({ how: 'broken' });
  expect(stuck.bytes).toBeLessThan(someBytes);

  const cursor = stuck.events.findLast((event) => event.id !== undefined)?.id;
  const story = readStory([...stuck.events, ...(await eventsOf(fleet.url, id, cursor))]);
  expect(story.text === bigText(someBytes)).toBe(true);
});

test('a plain reader that is ended for taking nothing does not get a truncated answer that looks whole', async () => {
  await start({ readerBuffer: '64KiB', readerStall: '300ms' });
  const stuck = ask(fleet.url, 'some', { body: { user: 'plain' }, headers: keep, keepText: false });
  await readAndStop([stuck]);
  await finished('plain');
  await expect.poll(openReaders).toBe(0);

  stuck.resume();
  expect(await stuck.ended).toMatchObject({ how: 'broken' });
  expect(stuck.events.map(({ data }) => data)).not.toContain('[DONE]');
  const rest = await eventsOf(fleet.url, await requestId(stuck), stuck.events.at(-1)?.id);
  const seen = stuck.events.filter(({ id }) => id !== undefined).map(({ data }) => contentOf(data));
  expect(seen.join('') + readStory(rest).text === bigText(someBytes)).toBe(true);
});

test('a reader of a whole answer that takes nothing is let go of, too', async () => {
  // The answer fits into what one connection may hold: it is over before the reader is slow.
  await start({ readerBuffer: '64MiB', readerStall: '300ms' });
  const stuck = ask(fleet.url, 'some', { body: { user: 'whole' }, keepText: false });
  await readAndStop([stuck]);
  await finished('whole');
  await expect
    .poll(async () =>
      (await metrics()).includes('millrace_requests_open{model="some",stream="true"} 0'),
    )
    .toBe(true);

  stuck.resume();
  expect(await stuck.ended).toMatchObject({ how: 'broken' });
  expect(stuck.bytes).toBeLessThan(someBytes);
});

test('a slow reader that takes a little all the time is not ended', async () => {
  // What waits at the end usually takes three seconds to be sent, longer than a reader may stand still. The kernel
  // says what it took by the megabyte, a few times in a second.
  await start({ readerBuffer: '8MiB', readerStall: '2s' });
  const id = await createJob(fleet.url, 'steady', { user: 'steady' });
  await finished('steady');
  const steady = follow(fleet.url, id, undefined, { keepText: false, bytesPerSecond: 2.5 * mebi });
  expect(await inTime(steady.ended, () => `it has ${steady.bytes} bytes`)).toMatchObject({
    how: 'complete',
  });
  expect(readStory(steady.events).text === bigText(steadyBytes)).toBe(true);
});

test('a bound that is smaller than what comes at once delays, but stops nothing', async () => {
  await start({ readerBuffer: '1KiB', readerStall: '5s' });
  await expectWhole(ask(fleet.url, 'pieces'), bigText(65_536));
  const id = await createJob(fleet.url, 'pieces');
  expect(readStory(await eventsOf(fleet.url, id)).text).toBe(bigText(65_536));
});

test('a WebSocket that takes nothing for too long is closed, and others are not', async () => {
  await start({ readerBuffer: '64KiB', readerStall: '300ms' });
  const url = `${fleet.url.replace('http', 'ws')}/v1/ws`;
  const [stuck, other] = [new WebSocket(url), new WebSocket(url)];
  await Promise.all([once(stuck, 'open'), once(other, 'open')]);
  let text = '';
  const done = new Promise<void>((resolve) => {
    other.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as { type: string; data: object };
      if (frame.type === 'chunk') text += contentOf(JSON.stringify(frame.data));
      if (frame.type === 'done') resolve();
    });
  });
  const id = await createJob(fleet.url, 'some', { user: 'socket' });
  const subscribe = JSON.stringify({ type: 'subscribe', id });
  stuck.send(subscribe);
  other.send(subscribe);
  await upstream(fleet.primary, 'socket');
  stuck.pause();

  await inTime(done, () => `the other has ${text.length} bytes`);
  expect(text === bigText(someBytes)).toBe(true);
  await expect
    .poll(async () => (await metrics()).includes('millrace_websockets_open 1'))
    .toBe(true);
  stuck.terminate();
  other.close();
});

const metrics = async (): Promise<string> => (await fetch(`${fleet.url}/metrics`)).text();

async function openReaders(): Promise<number> {
  return Number(/^millrace_readers_open (\d+)$/m.exec(await metrics())?.[1]);
}
