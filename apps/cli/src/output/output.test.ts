import { expect, test } from 'vitest';
import { bytes, duration, money } from './format.ts';
import { table } from './table.ts';

test('a table has its columns aligned, dashes for what is missing, and no control characters', () => {
  const rows = [
    { name: 'a', count: 5 },
    { name: 'long\u001b[31m name\nsecond', count: undefined },
  ];
  const text = table(rows, [
    { title: 'name', cell: ({ name }) => name },
    { title: 'count', align: 'right', cell: ({ count }) => count },
    { title: 'end', cell: () => null },
  ]);
  expect(text.split('\n')).toEqual([
    'name                   count  end',
    'a                          5  -',
    'long [31m name second      -  -',
    '',
  ]);
});

test.each([
  [40, '0s'],
  [340, '0.3s'],
  [12_400, '12s'],
  [303_000, '5m 3s'],
  [300_000, '5m'],
  [7_800_000, '2h 10m'],
  [86_400_000 * 3 + 3_600_000 * 4, '3d 4h'],
])('%i ms are %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test('money has the digits that matter, and an unknown price is no zero', () => {
  expect([0, 0.000123, 1.23456, null].map(money)).toEqual(['0.0000', '0.000123', '1.2346', '?']);
});

test('bytes have binary units', () => {
  expect([512, 1536, 3 * 1024 ** 3].map(bytes)).toEqual(['512 B', '1.5 KiB', '3.0 GiB']);
});
