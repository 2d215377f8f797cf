import { describe, expect, test } from 'vitest';
import { apiQueryOf, freeTextOf, hasTerm, matchesOpen, parseFilter, toggleTerm } from './filter.ts';
import type { Open } from './filter.ts';
import { suggestionsAt } from './suggestions.ts';

const queryOf = (text: string) => apiQueryOf(parseFilter(text));
const problemsOf = (text: string) => parseFilter(text).problems.map(({ problem }) => problem);

describe('the language of the filter bar', () => {
  test.each([
    ['', {}],
    ['model:gpt-5', { model: 'gpt-5' }],
    ['MODEL:gpt-5 key:team-a', { model: 'gpt-5', key: 'team-a' }],
    ['status:error', { status: 'error' }],
    ['-status:completed', { status: '-completed' }],
    ['status:failed,cancelled', { status: 'failed,cancelled' }],
    ['model:a model:b -model:c,d', { model: 'a,b,-c,-d' }],
    ['model:a,-b', { model: 'a,-b' }],
    ['model:"a b"', { model: 'a b' }],
    ['model:"a,b",c', { model: String.raw`a\,b,c` }],
    ['key:"-team",-"-x"', { key: String.raw`\-team,-\-x` }],
    [String.raw`model:a\b`, { model: String.raw`a\\b` }],
    ['model:org/name:tag', { model: 'org/name:tag' }],
    ['connection  reset', { q: 'connection reset' }],
    ['"two  words" more', { q: 'two  words more' }],
    ['http://host', { q: undefined }],
    ['user:ann session:s1', { user: 'ann', session: 's1' }],
    ['last:15m', { from: '{ago:900}' }],
    ['from:2026-11-30 to:2026-12-01T10:00:00Z', { from: '2026-11-30', to: '2026-12-01T10:00:00Z' }],
    ['-status:running', {}],
    ['status:running,failed', { status: 'failed' }],
  ])('%s asks the API for %o', (text, wanted) => {
    expect(queryOf(text)).toEqual(wanted);
  });

  test('asks the ledger for nothing if only requests that have not ended are wanted', () => {
    expect(queryOf('status:running')).toBeUndefined();
    expect(queryOf('status:queued,running model:x')).toBeUndefined();
  });

  test.each([
    ['modle:x', 'no filter is called modle'],
    ['status:faild', 'no status is called faild'],
    ['model:', 'model: has no value'],
    ['model:,,-', 'model: has no value'],
    ['-word', 'free text cannot be excluded'],
    ['last:soon', 'last: takes a duration'],
    ['from:yesterday', 'from: takes a time'],
    ['from:2026-13-99', 'from: takes a time'],
    ['user:a,b', 'user: takes one value'],
    ['-session:a', 'session: takes one value'],
    ['user:a user:b', 'user: stands here twice'],
    ['""', 'nothing stands in the quotes'],
    [`model:${Array.from({ length: 51 }, (_, i) => i).join(',')}`, 'more than 50 values'],
  ])('shows what is wrong with %s and leaves it out', (text, problem) => {
    expect(problemsOf(text)).toEqual([expect.stringContaining(problem)]);
    expect(queryOf(`${text} key:k`)).toEqual(expect.objectContaining({ key: 'k' }));
  });

  test('has the place of each part, so that the bar can mark it', () => {
    const { parts } = parseFilter('  a modle:x');
    expect(parts.map(({ start, source }) => [start, source])).toEqual([
      [2, 'a'],
      [4, 'modle:x'],
    ]);
  });

  test('is bounded: a bar of a megabyte is cut, and its free text is what the API takes', () => {
    expect(freeTextOf(parseFilter('x'.repeat(1_000_000)))).toHaveLength(200);
  });

  test('a text of markup is a text', () => {
    expect(queryOf('<script>alert(1)</script>')).toEqual({ q: '<script>alert(1)</script>' });
  });
});

describe('a request that has not ended', () => {
  const open: Open = {
    id: 'req_0_0abcDEF',
    model: 'gpt-5',
    key: 'team-a',
    provider: null,
    state: 'running',
    rescues: 0,
  };
  test.each([
    ['', true],
    ['model:gpt-5', true],
    ['model:other', false],
    ['-model:gpt-5', false],
    ['provider:openai', false],
    ['-provider:openai', true],
    ['status:running', true],
    ['status:queued', false],
    ['status:failed', false],
    ['-status:completed', true],
    ['-status:running', false],
    ['status:rescued', false],
    ['error:timeout', false],
    ['user:ann', false],
    ['cdef', true],
    ['xyz', false],
    ['last:1h', true],
    ['modle:x', true],
  ])('is listed with "%s": %s', (text, wanted) => {
    expect(matchesOpen(parseFilter(text), open)).toBe(wanted);
  });

  test('is listed as rescued once it was', () => {
    expect(matchesOpen(parseFilter('status:rescued'), { ...open, rescues: 1 })).toBe(true);
  });
});

describe('quick filters', () => {
  test('put their term in place of others of its name, and take it away again', () => {
    expect(toggleTerm('model:x status:running word', 'status', 'failed')).toBe(
      'model:x word status:failed',
    );
    expect(toggleTerm('model:x status:failed', 'status', 'failed')).toBe('model:x');
    expect(hasTerm('status:failed', 'status', 'failed')).toBe(true);
    expect(hasTerm('-status:failed', 'status', 'failed')).toBe(false);
    expect(hasTerm('status:failed,rescued', 'status', 'failed')).toBe(false);
  });

  test('keep what is not valid, so that it can be mended', () => {
    expect(toggleTerm('modle:x', 'status', 'failed')).toBe('modle:x status:failed');
  });
});

describe('suggestions', () => {
  const known = { model: ['gpt-5', 'gpt-5-mini', 'my model'], key: ['team-a'] };
  const labels = (text: string, caret = text.length) =>
    suggestionsAt(text, caret, known).map(({ label }) => label);

  test('are names first, then values of the name', () => {
    expect(labels('mo')).toEqual(['model:']);
    expect(labels('-k')).toEqual(['-key:']);
    expect(labels('model:')).toEqual(['gpt-5', 'gpt-5-mini', 'my model']);
    expect(labels('model:mini')).toEqual(['gpt-5-mini']);
    expect(labels('status:f')).toEqual(['failed']);
    expect(labels('nothing:')).toEqual([]);
  });

  test('complete the word at the caret and leave the rest', () => {
    expect(suggestionsAt('a mod key:x', 5, known)).toEqual([
      expect.objectContaining({ text: 'a model: key:x', caret: 8 }),
    ]);
    expect(suggestionsAt('model:gpt-5,-my', 15, known)).toEqual([
      expect.objectContaining({ text: 'model:gpt-5,-"my model" ' }),
    ]);
    expect(labels('model', 2)).toEqual([]);
  });
});
