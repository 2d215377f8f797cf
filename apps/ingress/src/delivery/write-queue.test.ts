import { expect, test } from 'vitest';
import { createWriteQueue } from './write-queue.ts';

test('texts come out in order and whole, in pieces that end with their text', () => {
  const queue = createWriteQueue();
  for (const text of ['abcdefg', '', 'xy', 'ü']) queue.push(text);
  expect(queue.bytes).toBe(11);
  const out: [string, boolean][] = [];
  for (let one = queue.take(3); one; one = queue.take(3)) {
    out.push([one.bytes.toString(), one.last]);
  }
  expect(out).toEqual([
    ['abc', false],
    ['def', false],
    ['g', true],
    ['xy', true],
    ['ü', true],
  ]);
  expect(queue.bytes).toBe(0);
});

test('what is thrown away is gone, also when a part of it was taken', () => {
  const queue = createWriteQueue();
  queue.push('abcdef');
  queue.take(2);
  queue.clear();
  expect([queue.bytes, queue.take(9)]).toEqual([0, undefined]);
  queue.push('new');
  expect(queue.take(9)?.bytes.toString()).toBe('new');
});

test('what waits may be much, while it grows and shrinks', () => {
  const queue = createWriteQueue();
  let pushed = 0;
  let took = 0;
  const take = (count: number) => {
    for (let i = 0; i < count; i += 1) {
      const text = queue.take(100)?.bytes.toString();
      if (text !== `text ${took}`) throw new Error(`${text} came as the ${took}th`);
      took += 1;
    }
  };
  for (let round = 0; round < 10; round += 1) {
    for (let i = 0; i < 20_000; i += 1) queue.push(`text ${pushed++}`);
    take(15_000);
  }
  take(pushed - took);
  expect([queue.bytes, queue.take(9)]).toEqual([0, undefined]);
});
