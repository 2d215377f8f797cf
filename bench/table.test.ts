import { expect, it } from 'vitest';
import { asMarkdown, asText, number, table } from './table.ts';

const speeds = table(
  ['case', 'req/s'],
  [
    ['direct', '11,800'],
    ['x', '1'],
  ],
);

it('a table has its first column on the left and its numbers on the right', () => {
  expect(asText([speeds])).toBe('case     req/s\n------  ------\ndirect  11,800\nx            1');
});

it('lines stand below their table, and the next table stands apart', () => {
  expect(asText([table(['a'], []), 'one', 'two', table(['b'], [])])).toBe('a\n-\none\ntwo\n\nb\n-');
});

it('a page has the same as a table and a list', () => {
  expect(asMarkdown([speeds, 'one', 'two', table(['a|b'], [])])).toBe(
    [
      '| case | req/s |',
      '| --- | --: |',
      '| direct | 11,800 |',
      '| x | 1 |',
      '',
      '- one',
      '- two',
      '',
      '| a\\|b |',
      '| --- |',
    ].join('\n'),
  );
});

it('a number shows its digits, and a missing one is a dash', () => {
  expect(number(11_800.4)).toBe('11,800');
  expect(number(0.267, 2)).toBe('0.27');
  expect([number(Number.NaN), number(undefined, 2)]).toEqual(['-', '-']);
});
