import { expect, test } from 'vitest';
import { boundsAfter, offsetIn } from './server-clock.ts';

const at = Date.parse('2026-12-01T10:00:00Z');
const header = 'Tue, 01 Dec 2026 10:00:00 GMT';

test('clocks that may be the same are taken as the same', () => {
  expect(offsetIn(undefined)).toBe(0);
  expect(offsetIn(boundsAfter(undefined, header, at + 900))).toBe(0);
  expect(offsetIn(boundsAfter(undefined, null, at))).toBe(0);
});

test("a browser's clock that is minutes off is put right, closer with each answer", () => {
  const one = boundsAfter(undefined, header, at + 300_000);
  expect(Math.abs(offsetIn(one) + 300_000)).toBeLessThanOrEqual(1000);
  const two = boundsAfter(one, header, at + 300_900);
  expect((two?.high ?? 0) - (two?.low ?? 0)).toBeLessThan((one?.high ?? 0) - (one?.low ?? 0));
});

test('a clock that is set begins anew', () => {
  const off = boundsAfter(undefined, header, at + 300_000);
  expect(offsetIn(boundsAfter(off, header, at + 500))).toBe(0);
});
