import { stat } from 'node:fs';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { withTimeout } from './timeout.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const late = () => new Error('late');

it('work that is done in time is answered as it ends, and leaves no timer', async () => {
  expect(await withTimeout(Promise.resolve('done'), 100, late)).toBe('done');
  await expect(withTimeout(Promise.reject(new Error('failed')), 100, late)).rejects.toThrow(
    'failed',
  );
  expect(vi.getTimerCount()).toBe(0);
});

it('work that takes too long is rejected, and how it ends later goes unnoticed', async () => {
  const work = Promise.withResolvers<string>();
  const answer = withTimeout(work.promise, 100, late);
  vi.advanceTimersByTime(101);
  await expect(answer).rejects.toThrow('late');
  work.reject(new Error('failed later'));
  await Promise.resolve();
});

it('a reply that a blocked event loop could not read is not late', async () => {
  vi.useRealTimers();
  const read = new Promise((resolve, reject) => {
    // A callback of the phase in which sockets are read: timers run before the next such phase.
    stat('/', () => {
      const reply = new Promise<string>((done) => stat('/', () => done('read')));
      withTimeout(reply, 10, late).then(resolve, reject);
      const until = performance.now() + 60;
      while (performance.now() < until);
    });
  });
  expect(await read).toBe('read');
});
