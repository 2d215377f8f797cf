import { limitsAt, nanosPerUsd, periodsOf } from '@millrace/shared/domain/budget';
import type { Budget } from '@millrace/shared/domain/budget';
import type { Budgets, Spent } from '@millrace/shared/store/budgets/port';
import { createRedisBudgets } from '@millrace/shared/store/budgets/redis-budgets';
import type { RedisBudgetsOptions } from '@millrace/shared/store/budgets/redis-budgets';
import { keyspace } from '@millrace/shared/store/keys';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// What the counters of budgets promise, on Redis.

let server: TestRedis;
let count = 0;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

const open = (more: Partial<RedisBudgetsOptions> = {}): Budgets =>
  createRedisBudgets({ redis: server.connect(), keys: keyspace(), ...more });
const newKey = () => `key ${count++} {}`;
const at = Date.UTC(2026, 10, 30, 23, 59);
const periods = periodsOf(at);
const budget: Budget = { day: 1, month: 20, tokensPerDay: 1000, currency: 'USD' };
const limits = limitsAt(budget, at);
const usd = (amount: number) => amount * nanosPerUsd;

const reserve = (budgets: Budgets, key: string, id: string, cost: number, tokens = 0) =>
  budgets.reserve(key, { id, periods, cost: usd(cost), tokens }, limits);

async function settle(
  budgets: Budgets,
  key: string,
  amounts: Partial<Spent>,
  ended: readonly string[] = [],
): Promise<void> {
  const reading = await budgets.beginSettling(key);
  const spent = [periods.day, periods.month].map((period) => {
    return { cost: 0, tokens: 0, unpriced: 0, ...amounts, period };
  });
  await budgets.settle(key, { ...reading, spent, ended });
}

async function usedOf(budgets: Budgets, key: string) {
  const [state] = await budgets.read([key]);
  return limits.map(({ unit, period }) => state?.useOf(unit, period));
}

test('requests are reserved until a limit is used up, and the last one may exceed it', async () => {
  const budgets = open();
  const key = newKey();
  expect(await reserve(budgets, key, 'a', 0.6, 100)).toMatchObject({ kind: 'reserved' });
  expect(await reserve(budgets, key, 'b', 0.6, 100)).toMatchObject({ kind: 'reserved' });
  const none = { spent: 0, reserved: usd(1.2) };
  expect(await reserve(budgets, key, 'c', 0.1)).toEqual({
    kind: 'used_up',
    use: [none, { spent: 0, reserved: 200 }, none],
  });
  expect(await reserve(budgets, newKey(), 'c', 0.1)).toMatchObject({ kind: 'reserved' });
});

test('a budget of tokens is used up by tokens alone', async () => {
  const budgets = open();
  const key = newKey();
  await reserve(budgets, key, 'a', 0, 1000);
  expect(await reserve(budgets, key, 'b', 0, 1)).toMatchObject({ kind: 'used_up' });
});

test('of many requests at once exactly those are reserved that find something left', async () => {
  const all = [open(), open(), open()];
  const key = newKey();
  const asked = Array.from({ length: 60 }, async (_, i) =>
    reserve(all[i % 3] as Budgets, key, `r${i}`, 0.1),
  );
  const reserved = (await Promise.all(asked)).filter(({ kind }) => kind === 'reserved');
  expect(reserved).toHaveLength(10);
});

test('a request that is sent again is reserved once, and given back once', async () => {
  const budgets = open();
  const key = newKey();
  for (let i = 0; i < 2; i++) {
    expect(await reserve(budgets, key, 'a', 1, 7)).toMatchObject({ kind: 'reserved' });
  }
  expect(await usedOf(budgets, key)).toMatchObject([{ reserved: usd(1) }, { reserved: 7 }, {}]);
  await budgets.release(key, 'a');
  await budgets.release(key, 'a');
  const nothing = { spent: 0, reserved: 0 };
  expect(await usedOf(budgets, key)).toEqual([nothing, nothing, nothing]);
  expect(await budgets.reservations(key)).toMatchObject({ reservations: [] });
});

test('what the ledger has replaces reservations, whatever they were estimated at', async () => {
  const budgets = open();
  const key = newKey();
  await reserve(budgets, key, 'a', 0.5, 500);
  await reserve(budgets, key, 'b', 0.1, 100);
  await settle(budgets, key, { cost: usd(0.02), tokens: 30, unpriced: 1 }, ['a', 'unknown']);
  const money = { spent: usd(0.02), reserved: usd(0.1) };
  expect(await usedOf(budgets, key)).toEqual([money, { spent: 30, reserved: 100 }, money]);
  const [state] = await budgets.read([key]);
  expect(state?.unpriced(periods.month)).toBe(1);
  expect(state?.confirmedAt).toBeGreaterThan(0);
});

test('the amount spent is a whole: it is not added to, and periods that it does not name are gone', async () => {
  const budgets = open();
  const key = newKey();
  await settle(budgets, key, { cost: usd(3) });
  await settle(budgets, key, { cost: usd(2) });
  expect(await usedOf(budgets, key)).toMatchObject([{ spent: usd(2) }, {}, { spent: usd(2) }]);
  const reading = await budgets.beginSettling(key);
  await budgets.settle(key, { ...reading, spent: [], ended: [] });
  expect(await usedOf(budgets, key)).toMatchObject([{ spent: 0 }, {}, { spent: 0 }]);
});

test('an earlier reading of the ledger does not replace a later one, and ends no reservations', async () => {
  const budgets = open();
  const key = newKey();
  await reserve(budgets, key, 'a', 0.5);
  const early = await budgets.beginSettling(key);
  await settle(budgets, key, { cost: usd(0.9) });
  const { day } = periods;
  const spent = [{ period: day, cost: usd(0.1), tokens: 0, unpriced: 0 }];
  expect(await budgets.settle(key, { ...early, spent, ended: ['a'] })).toBe(false);
  const both = { spent: usd(0.9), reserved: usd(0.5) };
  expect(await usedOf(budgets, key)).toMatchObject([both, {}, both]);
});

test('of two readings at the same time the one that is written last is refused, whichever began first', async () => {
  const [one, other] = [open(), open()];
  const key = newKey();
  const began = await one.beginSettling(key);
  const later = await other.beginSettling(key);
  const readingOf = (cost: number) => [{ period: periods.day, cost, tokens: 0, unpriced: 0 }];
  // The other one reads, the ledger stores a request, and then the first one reads.
  const ended = Array.from({ length: 1200 }, (_, i) => `r${i}`);
  expect(await one.settle(key, { ...began, spent: readingOf(9), ended })).toBe(true);
  expect(await other.settle(key, { ...later, spent: readingOf(5), ended: [] })).toBe(false);
  expect(await usedOf(one, key)).toMatchObject([{ spent: 9 }, {}, {}]);
});

test('a reading that is begun and not written leaves nothing in Redis', async () => {
  const key = newKey();
  await open().beginSettling(key);
  expect(await server.connect().exists(keyspace().budgetTotals(key))).toBe(0);
});

test('a reading that was begun before Redis lost its data does not keep later ones out', async () => {
  const budgets = open();
  const key = newKey();
  for (let i = 0; i < 5; i++) await settle(budgets, key, { cost: usd(5) });
  const reading = await budgets.beginSettling(key);
  await server.connect().del(keyspace().budgetTotals(key));
  expect(await budgets.settle(key, { ...reading, spent: [], ended: [] })).toBe(false);
  await settle(budgets, key, { cost: usd(6) });
  expect(await usedOf(budgets, key)).toMatchObject([{ spent: usd(6) }, {}, {}]);
});

test('a request of another day reserves nothing of this one, but of its month', async () => {
  const budgets = open();
  const key = newKey();
  const yesterday = periodsOf(at - 86_400_000);
  await budgets.reserve(key, { id: 'a', periods: yesterday, cost: usd(5), tokens: 9 }, []);
  expect(await usedOf(budgets, key)).toMatchObject([
    { reserved: 0 },
    { reserved: 0 },
    { reserved: usd(5) },
  ]);
});

test('with a limit on the time without the ledger a request is refused until it confirms, and after it', async () => {
  let unconfirmedMs: number | undefined = 60_000;
  const budgets = open({ unconfirmedMs: () => unconfirmedMs });
  const key = newKey();
  expect(await reserve(budgets, key, 'a', 0.1)).toMatchObject({ kind: 'unconfirmed' });
  await settle(budgets, key, {});
  expect(await reserve(budgets, key, 'a', 0.1)).toMatchObject({ kind: 'reserved' });
  const longAgo = Date.now() - 61_000;
  await server.connect().hset(keyspace().budgetTotals(key), 'confirmed', longAgo);
  expect(await reserve(budgets, key, 'b', 0.1)).toMatchObject({ kind: 'unconfirmed' });
  unconfirmedMs = undefined;
  expect(await reserve(budgets, key, 'b', 0.1)).toMatchObject({ kind: 'reserved' });
});

test('beyond their bound requests share a reservation, which counts and ends as a whole', async () => {
  const budgets = open({ mostReservations: 2 });
  const key = newKey();
  for (const id of ['a', 'b', 'c', 'd']) await reserve(budgets, key, id, 0.1, 1);
  expect(await usedOf(budgets, key)).toMatchObject([{ reserved: usd(0.4) }, { reserved: 4 }, {}]);
  const { now, reservations } = await budgets.reservations(key);
  const shared = reservations.filter(({ isShared }) => isShared);
  expect([reservations.length, shared.length]).toEqual([3, 1]);
  expect(Math.abs(now - (shared[0]?.at ?? 0))).toBeLessThan(60_000);
  await settle(
    budgets,
    key,
    {},
    reservations.map(({ id }) => id),
  );
  expect(await usedOf(budgets, key)).toMatchObject([{ reserved: 0 }, { reserved: 0 }, {}]);
});

test('a thousand reservations end in several steps, and leave only what was spent, for a month', async () => {
  const budgets = open();
  const key = newKey();
  const ids = Array.from({ length: 1200 }, (_, i) => `r${i}`);
  const free = limitsAt({ currency: 'USD' }, at);
  await Promise.all(
    ids.map((id) => budgets.reserve(key, { id, periods, cost: 1, tokens: 0 }, free)),
  );
  const { reservations } = await budgets.reservations(key);
  expect(reservations.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  await settle(budgets, key, { cost: 1200 }, ids);
  const redis = server.connect();
  const totals = await redis.hgetall(keyspace().budgetTotals(key));
  expect(Object.keys(totals).filter((field) => field.startsWith('reserved:'))).toEqual([]);
  expect(await redis.exists(keyspace().reservations(key))).toBe(0);
  expect(await redis.pttl(keyspace().budgetTotals(key))).toBeGreaterThan(31 * 86_400_000);
});
