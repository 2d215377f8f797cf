import { expect, test } from 'vitest';
import { createPieces } from './pieces.ts';

test('texts come out in order and whole, in pieces that end with their text', () => {
  const pieces = createPieces();
  for (const text of ['abcdefg', '', 'xy', 'ü']) pieces.push(text);
  expect(pieces.bytes).toBe(11);
  const out: [string, boolean][] = [];
  for (let one = pieces.take(3); one; one = pieces.take(3)) {
    out.push([one.bytes.toString(), one.last]);
  }
  expect(out).toEqual([
    ['abc', false],
    ['def', false],
    ['g', true],
    ['xy', true],
    ['ü', true],
  ]);
  expect(pieces.bytes).toBe(0);
});

test('what is thrown away is gone, also when a part of it was taken', () => {
  const pieces = createPieces();
  pieces.push('abcdef');
  pieces.take(2);
  pieces.clear();
  expect([pieces.bytes, pieces.take(9)]).toEqual([0, undefined]);
  pieces.push('new');
  expect(pieces.take(9)?.bytes.toString()).toBe('new');
});
