import { expect, test } from 'vitest';
import { createFrameRate } from './frame-rate.ts';

test('a second’s worth of frames may come at once, and the next ones wait', () => {
  const rate = createFrameRate(10);
  for (let i = 0; i < 10; i += 1) expect(rate.take(1000)).toBe(0);
  expect(rate.take(1000)).toBe(100);
  expect(rate.take(1000)).toBe(200);
});

test('frames above the rate delay the next read', () => {
  const rate = createFrameRate(10);
  let waitMs = 0;
  for (let i = 0; i < 1000; i += 1) waitMs = rate.take(0);
  expect(waitMs).toBe(99_000);
  expect(rate.take(99_000)).toBeGreaterThan(0);
  expect(rate.take(99_300)).toBe(0);
});

test('a quiet time saves up no more than a second, and a clock that goes back costs nothing', () => {
  const rate = createFrameRate(2);
  expect(rate.take(1_000_000)).toBe(0);
  expect(rate.take(2_000_000)).toBe(0);
  expect(rate.take(1_999_000)).toBe(0);
  expect(rate.take(1_999_000)).toBe(500);
});
