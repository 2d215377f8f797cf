import { describe, expect, test } from 'vitest';
import { nameOf, sorted, stackOf } from './rows.ts';
import type { UsageRow } from './rows.ts';

const row = (values: Partial<UsageRow>): UsageRow => ({
  requests: 1,
  failed: 0,
  rescued: 0,
  input_tokens: 0,
  cached_tokens: 0,
  output_tokens: 0,
  cost: null,
  unpriced: 0,
  estimated: 0,
  ...values,
});

describe('the rows of the table', () => {
  test('come dearest first, and those of unknown cost by their tokens', () => {
    const rows = [
      row({ key: 'quiet' }),
      row({ key: 'unpriced', output_tokens: 9 }),
      row({ key: 'dear', cost: 2 }),
      row({ key: 'cheap', cost: 1, output_tokens: 90 }),
    ];
    expect(sorted(rows, 'key').map(({ key }) => key)).toEqual([
      'dear',
      'cheap',
      'unpriced',
      'quiet',
    ]);
  });

  test('come newest first if they are times, whatever they cost', () => {
    const rows = [row({ day: '2026-01-01', cost: 5 }), row({ day: '2026-01-02', cost: 1 })];
    expect(sorted(rows, 'day').map(({ day }) => day)).toEqual(['2026-01-02', '2026-01-01']);
  });

  test('of requests without a key or a provider have a name', () => {
    expect(nameOf(row({ key: null }), 'key')).toBe('(no key)');
    expect(nameOf(row({ provider: null }), 'provider')).toBe('(no provider was asked)');
  });
});

describe('the series of the chart', () => {
  const bucket = (minute: number, group: string | null, cost: number | null) => ({
    at: `2026-01-01T00:0${minute}:00Z`,
    group,
    requests: 1,
    output_tokens: 10,
    cost,
  });

  test('has each group at each time, the largest first and the rest last', () => {
    const stack = stackOf(
      [
        bucket(1, 'a', 1),
        bucket(0, 'a', 1),
        bucket(0, 'other', 50),
        bucket(1, 'b', 7),
        bucket(1, null, null),
      ],
      'cost',
    );
    expect(stack.times.map((time) => new Date(time).getUTCMinutes())).toEqual([0, 1]);
    expect(stack.groups).toEqual([
      { name: 'b', values: [0, 7] },
      { name: 'a', values: [1, 1] },
      { name: '(none)', values: [0, 0] },
      { name: 'other', values: [50, 0] },
    ]);
  });

  test('is one line without groups', () => {
    const { group: _, ...ungrouped } = bucket(0, null, 3);
    expect(stackOf([ungrouped], 'requests').groups).toEqual([{ name: 'all', values: [1] }]);
  });

  test('is empty without buckets', () => {
    expect(stackOf([], 'cost')).toEqual({ times: [], groups: [] });
  });
});
