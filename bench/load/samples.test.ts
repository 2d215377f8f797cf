import { expect, it } from 'vitest';
import { median, percentile, Samples } from './samples.ts';

it('a percentile is the nearest rank, and always one of the samples', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  expect([50, 95, 99, 100].map((p) => percentile(hundred, p))).toEqual([50, 95, 99, 100]);
  expect(percentile([7], 99)).toBe(7);
  expect(percentile([1, 2], 50)).toBe(1);
  expect(percentile([], 50)).toBeNaN();
});

it('samples are summed up in whatever order and number they came', () => {
  const samples = new Samples();
  for (let i = 10_000; i >= 1; i--) samples.add(i);
  expect(samples.summary()).toEqual({
    count: 10_000,
    mean: 5_000.5,
    p50: 5_000,
    p95: 9_500,
    p99: 9_900,
    max: 10_000,
  });
});

it('no samples are zeros with a count that says so', () => {
  expect(new Samples().summary()).toEqual({ count: 0, mean: 0, p50: 0, p95: 0, p99: 0, max: 0 });
});

it('a median of an even number lies between the middle two, and of none is not a number', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});
