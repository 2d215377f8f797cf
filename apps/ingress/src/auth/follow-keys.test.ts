import type { KeySet } from '@millrace/shared/store/api-keys/port';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { followKeys } from './follow-keys.ts';

let set: KeySet;
let reads: number;
let problem: Error | undefined;
let isReady: boolean;
let onChange: () => void;
let got: number[];
let errors: unknown[];
let checks: number;
let hold: PromiseWithResolvers<void> | undefined;

beforeEach(() => {
  vi.useFakeTimers();
  set = { version: 1, keys: [] };
  reads = 0;
  problem = undefined;
  isReady = true;
  onChange = () => {};
  got = [];
  errors = [];
  checks = 0;
  hold = undefined;
});
afterEach(() => vi.useRealTimers());

const start = () =>
  followKeys({
    store: {
      async read() {
        reads += 1;
        const { ...seen } = set;
        if (problem) throw problem;
        await hold?.promise;
        return seen;
      },
      async version() {
        if (problem) throw problem;
        return set.version;
      },
      subscribe(listener) {
        onChange = listener;
        return { close() {} };
      },
    },
    ring: {
      replace: (_keys, ever) => void got.push(ever ? set.version : 0),
    },
    users: { check: () => (checks += 1), tick() {} },
    isReady: () => isReady,
    onError: (error) => void errors.push(error),
    rereadMs: 1000,
  });

test('the keys are there when the start resolves, and a failure to read them ends it', async () => {
  await start();
  expect(got).toEqual([1]);
  problem = new Error('NOPERM');
  await expect(start()).rejects.toThrow('NOPERM');
});

test('a message about a change leads to a read, and ends what the change has ended', async () => {
  await start();
  set = { version: 2, keys: [] };
  onChange();
  await vi.advanceTimersByTimeAsync(0);
  expect(got).toEqual([1, 2]);
  expect(checks).toBe(2);
});

test('a change during a read is read after it, and many changes by one read', async () => {
  await start();
  hold = Promise.withResolvers();
  onChange();
  await vi.advanceTimersByTimeAsync(0);
  for (let i = 0; i < 10; i += 1) onChange();
  hold.resolve();
  await vi.advanceTimersByTimeAsync(99);
  expect(reads).toBe(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(reads).toBe(3);
  await vi.advanceTimersByTimeAsync(500);
  expect(reads).toBe(3);
});

test('a change whose message was lost is found, and without a change nothing is read', async () => {
  await start();
  await vi.advanceTimersByTimeAsync(5000);
  expect(reads).toBe(1);
  // Also back: after a failover the version may be an older one.
  set = { version: 0, keys: [] };
  await vi.advanceTimersByTimeAsync(1000);
  expect(got).toEqual([1, 0]);
});

test('a read that fails is repeated, and the known keys stay meanwhile', async () => {
  await start();
  problem = new Error('LOADING');
  onChange();
  await vi.advanceTimersByTimeAsync(1000);
  expect(got).toEqual([1]);
  expect(errors.length).toBeGreaterThan(1);
  problem = undefined;
  set = { version: 2, keys: [] };
  await vi.advanceTimersByTimeAsync(1000);
  expect(got).toEqual([1, 2]);
});

test('while Redis is away nothing is asked', async () => {
  await start();
  isReady = false;
  problem = new Error('away');
  onChange();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(errors).toEqual([]);
  expect(reads).toBe(1);
  isReady = true;
  problem = undefined;
  await vi.advanceTimersByTimeAsync(250);
  expect(reads).toBe(2);
});
