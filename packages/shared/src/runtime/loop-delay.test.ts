import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { aftermathMs, lateMs, restLookMs, watchLateLoop } from './loop-delay.ts';
import type { LateLoop } from './loop-delay.ts';

let time: number;
let told: number;
let loop: LateLoop;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  time = 0;
  told = 0;
  loop = watchLateLoop({ now: () => time, onLate: () => (told += 1) });
});

afterEach(() => {
  loop.close();
  vi.useRealTimers();
});

/** The loop turns for so long, with a look every 50 ms. */
function turn(ms: number): void {
  for (const end = time + ms; time < end;) {
    time += 50;
    vi.advanceTimersByTime(50);
  }
}

it('a loop that turns is not late, however long it lives', () => {
  turn(60_000);
  expect(loop.wasLate()).toBe(false);
  expect(told).toBe(0);
});

it('the first timer after a stop knows of it, before the own one of the watch has run', () => {
  turn(1000);
  time += 2000;
  expect(loop.wasLate()).toBe(true);
  expect(told).toBe(1);
});

it('a stop is told once, and is forgotten when its consequences have had their time', () => {
  turn(1000);
  time += 2000;
  turn(aftermathMs / 2);
  expect(loop.wasLate()).toBe(true);
  turn(aftermathMs / 2 + 50);
  expect(loop.wasLate()).toBe(false);
  expect(told).toBe(1);
  expect(loop.times()).toBe(1);
});

it('a pause that an honest process has now and then is no stop', () => {
  turn(1000);
  time += lateMs;
  expect(loop.wasLate()).toBe(false);
});

it('a loop at rest sees a long stop too, and a look that is due then is no stop', () => {
  loop.rest();
  for (let i = 0; i < 10; i++) {
    time += restLookMs;
    vi.advanceTimersByTime(restLookMs);
  }
  expect(told).toBe(0);
  time += restLookMs + lateMs + 1;
  expect(loop.wasLate()).toBe(true);
});

it('a loop that is watched closely again sees the next short stop', () => {
  loop.rest();
  time += restLookMs - 1;
  loop.resume();
  expect(told).toBe(0);
  time += 50 + lateMs + 1;
  expect(loop.wasLate()).toBe(true);
});
