import type { Reserved } from '@millrace/shared/store/budgets/port';
import { StoreSilent } from '@millrace/shared/store/outage';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { patienceMs } from '../store-timeout.ts';
import { createBudgetGate } from './budgets.ts';

const createdAt = Date.UTC(2026, 10, 30, 23, 59, 59);
const budget = { day: 1, currency: 'USD' } as const;
const request = { id: 'r', model: 'm', body: '{}', createdAt };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp(answer: Promise<Reserved>) {
  const released: string[] = [];
  const asked: unknown[] = [];
  const gate = createBudgetGate({
    budgets: {
      reserve(...args) {
        asked.push(args);
        return answer;
      },
      release: async (_keyId, id) => void released.push(id),
    },
    expectUse: async () => ({ cost: 5, tokens: 7 }),
    whenReady: async () => {},
    onError(error) {
      throw error;
    },
    now: () => createdAt + 500,
  });
  return { gate, released, asked };
}

const reserved: Reserved = { kind: 'reserved', use: [{ spent: 0, reserved: 0 }] };

test('a request reserves what it is expected to use, in the periods of its creation', async () => {
  const { gate, asked } = setUp(Promise.resolve(reserved));
  expect(await gate.reserve('k', budget, request)).toBeUndefined();
  expect(asked).toMatchObject([
    [
      'k',
      { id: 'r', cost: 5, tokens: 7, periods: { day: '2026-11-30', month: '2026-11' } },
      [{ unit: 'usd', period: '2026-11-30', limit: 1e9 }],
    ],
  ]);
});

test('a refusal says when the budget is renewed, that requests under way reserve it, or that it cannot be checked', async () => {
  const used = setUp(
    Promise.resolve({ kind: 'used_up', use: [{ spent: 1e9, reserved: 0 }] } as const),
  );
  expect(await used.gate.reserve('k', budget, request)).toMatchObject({
    code: 'insufficient_quota',
    params: { retryAfter: 1, countAs: 'budget' },
  });
  const busy = setUp(
    Promise.resolve({ kind: 'used_up', use: [{ spent: 1e9 - 1, reserved: 1 }] } as const),
  );
  expect(await busy.gate.reserve('k', budget, request)).toMatchObject({
    code: 'budget_reserved',
    params: { retryAfter: 5, countAs: 'budget' },
  });
  const unconfirmed = setUp(
    Promise.resolve({ kind: 'unconfirmed', use: [{ spent: 0, reserved: 0 }] } as const),
  );
  expect(await unconfirmed.gate.reserve('k', budget, request)).toMatchObject({
    code: 'budget_unconfirmed',
  });
});

test('a reservation that Redis makes after the client got its error is given back', async () => {
  const answer = Promise.withResolvers<Reserved>();
  const { gate, released } = setUp(answer.promise);
  const failed = gate.reserve('k', budget, request).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(patienceMs + 1);
  expect(await failed).toBeInstanceOf(StoreSilent);
  expect(released).toEqual([]);
  answer.resolve(reserved);
  await vi.advanceTimersByTimeAsync(1);
  expect(released).toEqual(['r']);
});
