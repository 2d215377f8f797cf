import { describe, expect, test } from 'vitest';
import { ago, bytes, clock, count, duration, percent, percentDown, usd } from './format.ts';

describe('what a page shows of a value', () => {
  test.each([
    [duration(null), '–'],
    [duration(0.2), '0 ms'],
    [duration(840.4), '840 ms'],
    [duration(3421), '3.42 s'],
    [duration(42_100), '42.1 s'],
    [duration(2300), '2.3 s'],
    [duration(30_000), '30 s'],
    [duration(60_000), '1 min'],
    [duration(90_000), '1.5 min'],
    [duration(2 * 86_400_000), '2 d'],
    [count(undefined), '–'],
    [count(9999), '9,999'],
    [count(12_440), '12.4K'],
    [bytes(512), '512 B'],
    [bytes(3.4 * 1024 ** 2), '3.4 MiB'],
    [bytes(0), '0 B'],
    [usd(null), '–'],
    [usd(0), '$0'],
    [usd(12.4), '$12.40'],
    [usd(0.0312), '$0.0312'],
    [usd(0.000_31), '$0.00031'],
    [usd(-3), '−$3.00'],
    [percent(0.9995, 2), '99.95 %'],
    [percent(null), '–'],
    [percentDown(0.999_96, 2), '99.99 %'],
    [percentDown(0.9995, 2), '99.95 %'],
    [percentDown(1, 2), '100.00 %'],
    [percentDown(null), '–'],
    [ago('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:00:12Z')), '12 s ago'],
    [ago('not a time'), '–'],
    [ago('2026-01-02T00:00:00Z', Date.parse('2026-01-01T00:00:00Z')), 'now'],
    [clock(null), '–'],
    [clock('2026-01-02T03:04:05', Date.parse('2026-01-02T23:00:00')), '03:04:05'],
    [clock('2026-01-02T03:04:05', Date.parse('2026-01-03T00:00:00')), '2026-01-02 03:04:05'],
  ])('%s is %s', (shown, wanted) => {
    expect(shown).toBe(wanted);
  });
});
