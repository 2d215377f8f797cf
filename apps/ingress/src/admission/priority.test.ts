import { expect, test } from 'vitest';
import { createPriorityPolicy } from './priority.ts';

const priorityPolicy = createPriorityPolicy(
  new Map([
    ['ops', { priority: 'high' as const, weight: 1 }],
    ['batch', { priority: 'low' as const, weight: 5 }],
  ]),
);

test('a request has the priority of its key, or a later one that it asks for', () => {
  expect(priorityPolicy.resolve('ops', undefined)).toEqual({
    kind: 'allowed',
    scheduling: { priority: 'high', weight: 1 },
  });
  expect(priorityPolicy.resolve('ops', 'low')).toMatchObject({ scheduling: { priority: 'low' } });
  expect(priorityPolicy.resolve('batch', 'low')).toMatchObject({
    scheduling: { priority: 'low', weight: 5 },
  });
});

test('an earlier one than that of its key is refused', () => {
  expect(priorityPolicy.resolve('batch', 'normal')).toEqual({ kind: 'too_high', highest: 'low' });
  expect(priorityPolicy.resolve('batch', 'high')).toEqual({ kind: 'too_high', highest: 'low' });
});

test('without keys any may be asked for, and none is shared', () => {
  const open = createPriorityPolicy(new Map());
  expect(open.resolve(undefined, 'high')).toMatchObject({ scheduling: { priority: 'high' } });
  expect(open.resolve(undefined, undefined)).toMatchObject({
    scheduling: { priority: 'normal', weight: 1 },
  });
  expect(open.shared).toBe(false);
  expect(priorityPolicy.shared).toBe(true);
});
