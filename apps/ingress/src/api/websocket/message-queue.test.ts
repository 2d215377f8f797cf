import { beforeEach, expect, test } from 'vitest';
import { createBackpressure } from '../../delivery/backpressure.ts';
import { parseFrame } from './frames.ts';
import { createMessageQueue, maxServed } from './message-queue.ts';
import type { MessageQueue } from './message-queue.ts';

const nextTick = () => new Promise((resolve) => setImmediate(resolve));

let paused: boolean;
let backpressure: ReturnType<typeof createBackpressure>;
let bodies: { held: number };
let begun: unknown[];
let finish: (() => void)[];
let idle: number;
let messages: MessageQueue;

beforeEach(() => {
  paused = false;
  backpressure = createBackpressure({
    pause: () => (paused = true),
    resume: () => (paused = false),
  });
  bodies = { held: 0 };
  begun = [];
  finish = [];
  idle = 0;
  messages = createMessageQueue({
    backpressure,
    bodies,
    limits: { socketFrameBytes: 1_000_000 },
    read: ({ data }) => {
      const text = data.toString();
      return text === '' ? undefined : parseFrame(text);
    },
    serve(frame) {
      begun.push(frame['n']);
      return new Promise((resolve) => finish.push(resolve));
    },
    onIdle: () => (idle += 1),
  });
});

const take = (frame: object) =>
  messages.take({ data: Buffer.from(JSON.stringify(frame)), isBinary: false });

test('messages of one read are served a hundred at a time, and the socket is not read meanwhile', async () => {
  for (let n = 0; n < 2000; n += 1) take({ n, id: `r${n}` });
  expect(begun).toHaveLength(maxServed);
  expect(messages.served).toBe(maxServed);
  expect(paused).toBe(true);
  const whole = bodies.held;
  finish.shift()?.();
  await nextTick();
  expect(begun).toHaveLength(maxServed + 1);
  expect(bodies.held).toBeLessThan(whole);
  while (finish.length > 0) {
    for (const one of finish.splice(0)) one();
    await nextTick();
    expect(messages.served).toBeLessThanOrEqual(maxServed);
    expect(paused || begun.length === 2000).toBe(true);
  }
  expect(begun).toEqual(Array.from({ length: 2000 }, (_, n) => n));
  expect({ paused, held: bodies.held, served: messages.served, idle }).toEqual({
    paused: false,
    held: 0,
    served: 0,
    idle: 1,
  });
});

test('messages that were read wait also while the socket is full, or exceeds its rate', async () => {
  for (const reason of ['full', 'rate'] as const) {
    backpressure.pause(reason);
    take({ n: reason });
    expect(begun).not.toContain(reason);
    backpressure.resume(reason);
    expect(begun).toContain(reason);
  }
});

test('frames about one request are served in their order', async () => {
  for (let n = 0; n < 3; n += 1) take({ n, id: 'same' });
  take({ n: 'other', id: 'other' });
  expect(begun).toEqual([0, 'other']);
  finish.shift()?.();
  await nextTick();
  expect(begun).toEqual([0, 'other', 1]);
});

test('the body budget counts no messages that wait, that are no frames, or whose socket is gone', () => {
  messages.take({ data: Buffer.from(''), isBinary: false });
  backpressure.pause('rate');
  take({ n: 1 });
  expect(bodies.held).toBeGreaterThan(0);
  messages.stop();
  expect(bodies.held).toBe(0);
  backpressure.resume('rate');
  expect(begun).toEqual([]);
  take({ n: 2 });
  expect([begun, bodies.held]).toEqual([[], 0]);
});
