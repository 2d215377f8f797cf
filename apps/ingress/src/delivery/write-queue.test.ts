import { expect, test } from 'vitest';
import { createPieces } from './write-queue.ts';

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

test('what waits may be much, while it grows and shrinks', () => {
  const pieces = createPieces();
  let pushed = 0;
  let took = 0;
  const take = (count: number) => {
    for (let i = 0; i < count; i += 1) {
      const text = pieces.take(100)?.bytes.toString();
      if (text !== `text ${took}`) throw new Error(`${text} came as the ${took}th`);
      took += 1;
    }
  };
  for (let round = 0; round < 10; round += 1) {
    for (let i = 0; i < 20_000; i += 1) pieces.push(`text ${pushed++}`);
    take(15_000);
  }
  take(pushed - took);
  expect([pieces.bytes, pieces.take(9)]).toEqual([0, undefined]);
});
