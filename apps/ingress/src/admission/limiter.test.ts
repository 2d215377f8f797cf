import { expect, it } from 'vitest';
import { createLimiter } from './limiter.ts';

it('starts at once where there is room, and else in the order of asking', async () => {
  const limiter = createLimiter(2);
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const work = (i: number) => () => {
    started.push(i);
    return new Promise<number>((resolve) => ends.push(() => resolve(i)));
  };
  const all = [0, 1, 2, 3].map((i) => limiter.run(work(i)));
  expect(started).toEqual([0, 1]);
  expect([limiter.running, limiter.waiting]).toEqual([2, 2]);
  ends[1]?.();
  await all[1];
  await expect.poll(() => started).toEqual([0, 1, 2]);
  ends[0]?.();
  ends[2]?.();
  await expect.poll(() => started).toEqual([0, 1, 2, 3]);
  ends[3]?.();
  expect(await Promise.all(all)).toEqual([0, 1, 2, 3]);
  expect([limiter.running, limiter.waiting]).toEqual([0, 0]);
});

it('passes the turn on when work fails', async () => {
  const limiter = createLimiter(1);
  const failing = limiter.run(() => Promise.reject(new Error('no')));
  const next = limiter.run(() => Promise.resolve('yes'));
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe('yes');
  expect(limiter.running).toBe(0);
});
