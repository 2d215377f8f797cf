import { describe, expect, test } from 'vitest';
import { contains, fieldsOf, rangeOfLine, readingOf, sideOf, textOf, usualHash } from './fields.ts';

describe('the processes of a fleet', () => {
  test('that use another config than most of them are those that differ', () => {
    const processes = ['a', 'b', 'b'].map((hash) => ({ hash }));
    expect(usualHash(processes)).toBe('b');
    expect(usualHash([])).toBeUndefined();
  });
});

describe('a field of the config', () => {
  test('has its value in its line, unless it has fields of its own', () => {
    expect(fieldsOf(5)).toBeUndefined();
    expect(fieldsOf(['a', 'b'])).toBeUndefined();
    expect(fieldsOf({})).toBeUndefined();
    expect(fieldsOf({ a: 1 })).toEqual([['a', 1]]);
    expect([5, '', null, [], ['a', 'b'], {}].map(textOf)).toEqual([
      '5',
      "''",
      'none',
      '[]',
      '[a, b]',
      '{}',
    ]);
  });

  test('of a list is named by its id or its target', () => {
    const key = { id: 'team-a' };
    const target = { provider: 'openai', model: 'gpt-4o' };
    expect(fieldsOf([key, target, { other: 1 }])?.map(([name]) => name)).toEqual([
      'team-a',
      'openai/gpt-4o',
      '2',
    ]);
  });

  test('has its duration and its bytes in units that people read', () => {
    expect(readingOf('timeoutMs', 60_000)).toBe('1 min');
    expect(readingOf('maxBytes', 1 << 20)).toBe('1.0 MiB');
    expect(readingOf('queueBytes', 0)).toBe('0 B');
    expect(readingOf('port', 8080)).toBeUndefined();
    expect(readingOf('modelMs', 'text')).toBeUndefined();
  });

  test('is found by its name, by its value, and by what is below it', () => {
    const config = { fast: { targets: [{ provider: 'openai', model: 'gpt-4o' }] } };
    expect(contains('models', config, 'gpt-4')).toBe(true);
    expect(contains('models', config, 'targets')).toBe(true);
    expect(contains('models', config, 'claude')).toBe(false);
    expect(contains('anything', 1, '')).toBe(true);
  });
});

test('a side of a difference has its value, and its reading if it has a unit', () => {
  const difference = { path: 'models.a.b.timeoutMs', from: 1000, to: null, needs_restart: false };
  expect(sideOf(difference, 1000)).toBe('1000 (1 s)');
  expect(sideOf({ ...difference, path: 'shards' }, 2)).toBe('2');
});

describe('the line of a problem', () => {
  test('is marked in the text', () => {
    const text = 'one\ntwo\nthree';
    expect(text.slice(...rangeOfLine(text, 2))).toBe('two');
    expect(text.slice(...rangeOfLine(text, 99))).toBe('three');
    expect(text.slice(...rangeOfLine(text, 0))).toBe('one');
  });
});
