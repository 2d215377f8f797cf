import { expect, it } from 'vitest';
import { number, table } from './table.ts';

it('a table has its first column on the left and its numbers on the right', () => {
  expect(
    table(
      ['case', 'req/s'],
      [
        ['direct', '11,800'],
        ['x', '1'],
      ],
    ),
  ).toBe('case     req/s\n------  ------\ndirect  11,800\nx            1');
});

it('a number shows its digits, and a missing one is a dash', () => {
  expect(number(11_800.4)).toBe('11,800');
  expect(number(0.267, 2)).toBe('0.27');
  expect([number(Number.NaN), number(undefined, 2)]).toEqual(['-', '-']);
});
