import { StoreSilent } from '@millrace/shared/store/outage';
import type { Leases } from '@millrace/shared/store/quota/port';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { patienceMs } from '../store-timeout.ts';
import { awaitedLeases } from './awaited-leases.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp(delay: Partial<{ ready: Promise<void>; reply: Promise<void> }> = {}) {
  const held = new Set<string>();
  const errors: unknown[] = [];
  const shared: Leases = {
    async take(_name, id) {
      await delay.reply;
      held.add(id);
      return { kind: 'yes', held: held.size };
    },
    renew: async () => [],
    release: async (_name, id) => void held.delete(id),
  };
  const leases = awaitedLeases({
    shared,
    whenReady: async () => delay.ready,
    onError: (error) => errors.push(error),
  });
  return { held, leases, errors };
}

test('a lease waits for the connection to Redis, and fails after 5 s without one', async () => {
  const ready = Promise.withResolvers<void>();
  const { held, leases } = setUp({ ready: ready.promise });
  const early = leases.take('k', 'early', 1).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(1);
  const later = leases.take('k', 'later', 1);
  await vi.advanceTimersByTimeAsync(patienceMs);
  expect(await early).toBeInstanceOf(StoreSilent);
  ready.resolve();
  expect(await later).toEqual({ kind: 'yes', held: 1 });
  expect([...held]).toEqual(['later']);
});

test('a lease that Redis grants after the request was rejected is released', async () => {
  const reply = Promise.withResolvers<void>();
  const { held, leases, errors } = setUp({ reply: reply.promise });
  const rejected = leases.take('k', 'a', 1).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(patienceMs + 1);
  expect(await rejected).toBeInstanceOf(StoreSilent);
  reply.resolve();
  await reply.promise;
  await vi.advanceTimersByTimeAsync(1);
  expect([...held]).toEqual([]);
  expect(errors).toEqual([]);
});

test('an error of Redis reaches the caller once', async () => {
  const { leases, errors } = setUp({ reply: Promise.reject(new Error('NOPERM')) });
  await expect(leases.take('k', 'a', 1)).rejects.toThrow('NOPERM');
  expect(errors).toEqual([]);
});
