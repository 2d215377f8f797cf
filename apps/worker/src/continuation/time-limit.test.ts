import { expect, it } from 'vitest';
import { timeLimit } from './time-limit.ts';

const limit = (startedAt: number | undefined, deadlineAt?: number) => {
  const { at, fault } = timeLimit({ startedAt, timeoutMs: 60_000, deadlineAt, now: 5000 });
  return [at, fault.code];
};

it('a request has its model’s time from its first attempt on', () => {
  expect(limit(1000)).toEqual([61_000, 'upstream_timeout']);
  expect(limit(undefined)).toEqual([65_000, 'upstream_timeout']);
});

it('and no more than its deadline', () => {
  expect(limit(1000, 61_001)).toEqual([61_000, 'upstream_timeout']);
  expect(limit(1000, 60_999)).toEqual([60_999, 'deadline_exceeded']);
  expect(limit(undefined, 10)).toEqual([10, 'deadline_exceeded']);
});
