import { StoreSilent } from '@millrace/shared/store/outage';
import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import type { Windows } from '@millrace/shared/store/quota/port';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { patienceMs } from '../store-timeout.ts';
import { awaitedWindows } from './awaited-windows.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const requests = (limit: number, amount = 1) => [{ name: 'requests', limit, amount }];

function setUp(delay: Partial<{ ready: Promise<void>; answer: Promise<void> }> = {}) {
  const shared = createMemoryWindows();
  const errors: unknown[] = [];
  const slow: Windows = {
    ...shared,
    take: async (key, charges) => {
      await delay.answer;
      return shared.take(key, charges);
    },
  };
  const windows = awaitedWindows({
    shared: slow,
    whenReady: async () => delay.ready,
    onError: (error) => errors.push(error),
  });
  return { shared, windows, errors };
}

/** What a promise rejects with; undefined if it resolves. */
const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

test('a charge waits for the connection to Redis, and is made then', async () => {
  const ready = Promise.withResolvers<void>();
  const { shared, windows } = setUp({ ready: ready.promise });
  const taken = windows.take('k', requests(1));
  await vi.advanceTimersByTimeAsync(patienceMs - 1);
  ready.resolve();
  expect(await taken).toMatchObject({ kind: 'yes', used: [1] });
  expect(await shared.take('k', requests(1))).toMatchObject({ kind: 'no' });
});

test('a charge fails after 5 s without a connection, and is not made later', async () => {
  const ready = Promise.withResolvers<void>();
  const { shared, windows } = setUp({ ready: ready.promise });
  const rejected = rejection(windows.take('k', requests(1)));
  await vi.advanceTimersByTimeAsync(patienceMs + 1);
  expect(await rejected).toBeInstanceOf(StoreSilent);
  ready.resolve();
  await vi.advanceTimersByTimeAsync(1);
  expect(await shared.take('k', requests(1))).toMatchObject({ kind: 'yes', used: [1] });
});

test('a charge that Redis makes after the request was rejected is given back', async () => {
  const answer = Promise.withResolvers<void>();
  const { shared, windows, errors } = setUp({ answer: answer.promise });
  const rejected = rejection(windows.take('k', requests(3, 2)));
  await vi.advanceTimersByTimeAsync(patienceMs + 1);
  expect(await rejected).toBeInstanceOf(StoreSilent);
  answer.resolve();
  await vi.advanceTimersByTimeAsync(1);
  expect(await shared.take('k', requests(3))).toMatchObject({ kind: 'yes', used: [1] });
  expect(errors).toEqual([]);
});

test('an error of Redis reaches the caller once', async () => {
  const errors: unknown[] = [];
  const windows = awaitedWindows({
    shared: { take: () => Promise.reject(new Error('NOPERM')), correct: async () => {} },
    whenReady: async () => {},
    onError: (error) => errors.push(error),
  });
  await expect(windows.take('k', requests(1))).rejects.toThrow('NOPERM');
  expect(errors).toEqual([]);
});
