import { beforeEach, expect, test } from 'vitest';
import { createReadingGate } from '../../delivery/backpressure.ts';
import { parseFrame } from './frames.ts';
import { createFrameTurns, maxServed } from './message-queue.ts';
import type { FrameTurns } from './message-queue.ts';

const soon = () => new Promise((resolve) => setImmediate(resolve));

let paused: boolean;
let gate: ReturnType<typeof createReadingGate>;
let bodies: { held: number };
let begun: unknown[];
let finish: (() => void)[];
let idle: number;
let turns: FrameTurns;

beforeEach(() => {
  paused = false;
  gate = createReadingGate({
    pause: () => (paused = true),
    resume: () => (paused = false),
  });
  bodies = { held: 0 };
  begun = [];
  finish = [];
  idle = 0;
  turns = createFrameTurns({
    gate,
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
  turns.take({ data: Buffer.from(JSON.stringify(frame)), isBinary: false });

test('what came in one go is served a hundred at a time, and nothing more is read meanwhile', async () => {
  for (let n = 0; n < 2000; n += 1) take({ n, id: `r${n}` });
  expect(begun).toHaveLength(maxServed);
  expect(turns.served).toBe(maxServed);
  expect(paused).toBe(true);
  const whole = bodies.held;
  finish.shift()?.();
  await soon();
  expect(begun).toHaveLength(maxServed + 1);
  expect(bodies.held).toBeLessThan(whole);
  while (finish.length > 0) {
    for (const one of finish.splice(0)) one();
    await soon();
    expect(turns.served).toBeLessThanOrEqual(maxServed);
    expect(paused || begun.length === 2000).toBe(true);
  }
  expect(begun).toEqual(Array.from({ length: 2000 }, (_, n) => n));
  expect({ paused, held: bodies.held, served: turns.served, idle }).toEqual({
    paused: false,
    held: 0,
    served: 0,
    idle: 1,
  });
});

test('what came already waits also while the socket is full, or sent more than it may', async () => {
  for (const reason of ['full', 'rate'] as const) {
    gate.shut(reason);
    take({ n: reason });
    expect(begun).not.toContain(reason);
    gate.open(reason);
    expect(begun).toContain(reason);
  }
});

test('frames about one request are served in their order', async () => {
  for (let n = 0; n < 3; n += 1) take({ n, id: 'same' });
  take({ n: 'other', id: 'other' });
  expect(begun).toEqual([0, 'other']);
  finish.shift()?.();
  await soon();
  expect(begun).toEqual([0, 'other', 1]);
});

test('what waits, is no frame, or belongs to a socket that is gone, is not held', () => {
  turns.take({ data: Buffer.from(''), isBinary: false });
  gate.shut('rate');
  take({ n: 1 });
  expect(bodies.held).toBeGreaterThan(0);
  turns.stop();
  expect(bodies.held).toBe(0);
  gate.open('rate');
  expect(begun).toEqual([]);
  take({ n: 2 });
  expect([begun, bodies.held]).toEqual([[], 0]);
});
