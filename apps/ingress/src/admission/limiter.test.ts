import { expect, it } from 'vitest';
import { createTurns } from './limiter.ts';

it('starts at once where there is room, and else in the order of asking', async () => {
  const turns = createTurns(2);
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const work = (i: number) => () => {
    started.push(i);
    return new Promise<number>((resolve) => ends.push(() => resolve(i)));
  };
  const all = [0, 1, 2, 3].map((i) => turns.take(work(i)));
  expect(started).toEqual([0, 1]);
  expect([turns.underWay, turns.waiting]).toEqual([2, 2]);
  ends[1]?.();
  await all[1];
  await expect.poll(() => started).toEqual([0, 1, 2]);
  ends[0]?.();
  ends[2]?.();
  await expect.poll(() => started).toEqual([0, 1, 2, 3]);
  ends[3]?.();
  expect(await Promise.all(all)).toEqual([0, 1, 2, 3]);
  expect([turns.underWay, turns.waiting]).toEqual([0, 0]);
});

it('passes the turn on when work fails', async () => {
  const turns = createTurns(1);
  const failing = turns.take(() => Promise.reject(new Error('no')));
  const next = turns.take(() => Promise.resolve('yes'));
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe('yes');
  expect(turns.underWay).toBe(0);
});
