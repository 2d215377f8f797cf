import { expect, test } from 'vitest';
import { createServiceRate } from './service-rate.ts';

/** Notes a sample every 200 ms; each with the jobs taken so far and those that wait. */
function rateOf(samples: readonly (readonly [taken: number, waiting: number])[]) {
  const rate = createServiceRate();
  for (const [i, [taken, waiting]] of samples.entries()) rate.note({ at: i * 200, taken, waiting });
  return rate.perSecond;
}

test('nothing is known until enough were taken while others waited', () => {
  expect(rateOf([])).toBeUndefined();
  expect(
    rateOf([
      [0, 5],
      [9, 5],
    ]),
  ).toBeUndefined();
  expect(
    rateOf([
      [0, 5],
      [10, 5],
    ]),
  ).toBe(50);
});

test('what is taken while none wait is no measure', () => {
  const idle = Array.from({ length: 20 }, (_, i) => [i * 100, 0] as const);
  expect(rateOf(idle)).toBeUndefined();
  // A burst that fills free places, and then the pace at which they get free.
  const full = Array.from({ length: 20 }, (_, i) => [2500 + i * 4, 50] as const);
  expect(rateOf([...idle, ...full])).toBe(20);
});

test('the silence before the first one that had waited is no measure either, a later one is', () => {
  const silent = Array.from({ length: 50 }, () => [512, 50] as const);
  const steady = Array.from({ length: 10 }, (_, i) => [514 + 2 * i, 50] as const);
  expect(rateOf([...silent, ...steady])).toBe(10);
  const paused = Array.from({ length: 10 }, () => [532, 50] as const);
  expect(rateOf([...silent, ...steady, ...paused])).toBe(5);
});

test('the newest quarter of a minute of waiting counts', () => {
  const slow = Array.from({ length: 100 }, (_, i) => [i, 50] as const);
  const fast = Array.from({ length: 76 }, (_, i) => [100 + 10 * i, 50] as const);
  expect(rateOf([...slow, ...fast])).toBeCloseTo(50, 0);
});

test('a night without workers is one stretch, and forgotten soon after it', () => {
  const rate = createServiceRate();
  let at = 0;
  let taken = 0;
  const note = (more: number) =>
    rate.note({ at: (at += 200), taken: (taken += more), waiting: 50 });
  for (let i = 0; i < 100; i++) note(2);
  expect(rate.perSecond).toBe(10);
  // As long as it lasts, the rate sinks.
  for (let i = 0; i < 200_000; i++) note(0);
  expect(rate.perSecond).toBeLessThan(0.001);
  expect(rate.size).toBeLessThan(20);
  for (let i = 0; i < 10; i++) note(2);
  expect(rate.perSecond).toBeCloseTo(20 / 15);
  for (let i = 0; i < 100; i++) note(2);
  expect(rate.perSecond).toBe(10);
});

test('a counter that starts again is no rate', () => {
  expect(
    rateOf([
      [1000, 5],
      [1010, 5],
      [0, 5],
      [10, 5],
    ]),
  ).toBe(50);
});
