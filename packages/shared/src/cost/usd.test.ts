import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inUsd, parseUsd } from './usd.ts';

test('an amount in USD is read exactly, as a number or as a text', () => {
  expect(parseUsd('0.0003')).toBe(300_000);
  expect(parseUsd(0.05)).toBe(50_000_000);
  expect(parseUsd('1e-7')).toBe(100);
  expect(parseUsd('0')).toBe(0);
  expect(parseUsd('1000000')).toBe(1e15);
  // Less than a billionth is rounded down.
  expect(parseUsd('0.0000000019')).toBe(1);
});

test('what is no amount is not read', () => {
  const wrong = ['', ' ', 'abc', '-1', '$1', '1,5', '1 2', '0.1, 0.2', 'NaN', 'Infinity', '1e99'];
  for (const value of [
    ...wrong,
    '1000001',
    '0x10',
    '.5',
    -1,
    Number.NaN,
    Infinity,
    {},
    [1],
    true,
  ]) {
    expect(parseUsd(value)).toBeUndefined();
  }
});

test('an amount is written without an exponent, and reads as the same', () => {
  expect(inUsd(4_200_000)).toBe('0.0042');
  expect(inUsd(1)).toBe('0.000000001');
  expect(inUsd(3e9)).toBe('3');
  expect(inUsd(10e9)).toBe('10');
  expect(inUsd(0)).toBe('0');
  fc.assert(
    fc.property(fc.nat(1e12), (cost) => {
      expect(parseUsd(inUsd(cost))).toBe(cost);
    }),
  );
});
