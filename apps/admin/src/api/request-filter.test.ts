import { expect, test } from 'vitest';
import { readFilter } from './request-filter.ts';

test.each([
  ['a', ['a'], []],
  ['a,b,-c', ['a', 'b'], ['c']],
  [',a,,a', ['a'], []],
  ['a\\,b,c', ['a,b', 'c'], []],
  ['\\-a,-\\-b', ['-a'], ['-b']],
  ['a\\\\,b', ['a\\', 'b'], []],
  ['a\\b', ['a\\b'], []],
  ['a\\', ['a\\'], []],
])('the filter %s is for %j and not for %j', (model, some, not) => {
  expect(readFilter({ model }).model).toEqual({ some, not });
});

test.each([',', '-', 'a,-'])('%j is no filter', (model) => {
  expect(() => readFilter({ model })).toThrow('expected values, separated by commas');
});
