import { expect, test } from 'vitest';
import { createRanks } from './priority.ts';

const ranks = createRanks([
  { id: 'ops', priority: 'high', weight: 1 },
  { id: 'batch', priority: 'low', weight: 5 },
]);

test('a request has the priority of its key, or a later one that it asks for', () => {
  expect(ranks.rank('ops', undefined)).toEqual({
    kind: 'ranked',
    rank: { priority: 'high', weight: 1 },
  });
  expect(ranks.rank('ops', 'low')).toMatchObject({ rank: { priority: 'low' } });
  expect(ranks.rank('batch', 'low')).toMatchObject({ rank: { priority: 'low', weight: 5 } });
});

test('an earlier one than that of its key is refused', () => {
  expect(ranks.rank('batch', 'normal')).toEqual({ kind: 'too_high', highest: 'low' });
  expect(ranks.rank('batch', 'high')).toEqual({ kind: 'too_high', highest: 'low' });
});

test('without keys any may be asked for, and none is shared', () => {
  const open = createRanks();
  expect(open.rank(undefined, 'high')).toMatchObject({ rank: { priority: 'high' } });
  expect(open.rank(undefined, undefined)).toMatchObject({
    rank: { priority: 'normal', weight: 1 },
  });
  expect(open.shared).toBe(false);
  expect(ranks.shared).toBe(true);
});
