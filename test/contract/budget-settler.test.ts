import { limitsAt, periodsOf } from '@millrace/shared/domain/budget';
import { newRequestId } from '@millrace/shared/domain/request';
import { createRedisBudgets } from '@millrace/shared/store/budgets/redis-budgets';
import { keyspace } from '@millrace/shared/store/keys';
import type { WaitingEntries } from '@millrace/shared/store/ledger/waiting';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createMigrator, openDatabase } from '../../apps/admin/src/database/open.ts';
import type { LedgerDatabase } from '../../apps/admin/src/database/open.ts';
import { startSettler } from '../../apps/admin/src/budgets/settler.ts';
import type { Settler, SettlerOptions } from '../../apps/admin/src/budgets/settler.ts';
import {
  attemptOf,
  cancelled,
  entryOf,
  tokens,
} from '../../apps/admin/src/ledger/entries.fixture.ts';
import { storeEntries } from '../../apps/admin/src/ledger/store.ts';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// Counters follow the ledger: real Redis and SQL; what Redis knows of requests is made up.

const now = Date.now();
const periods = periodsOf(now);
const keyId = 'team';
/** A billionth of a USD for each token. */
const prices = (_target: object, used: { input: number; output: number }) =>
  used.input + used.output;

let server: TestRedis;
let database: LedgerDatabase;
let settler: Settler;
let problem: string | undefined;
const described = new Map<string, Described>();
let waiting: WaitingEntries;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  await server.connect().flushall();
  database = openDatabase('sqlite::memory:', fail);
  await createMigrator(database)();
  described.clear();
  waiting = undefined;
  problem = undefined;
});
afterEach(async () => {
  await settler.stop();
  await database.destroy();
});

function fail(error: unknown): never {
  throw error;
}

const budgets = () => createRedisBudgets({ redis: server.connect(), keys: keyspace() });

function start(more: Partial<SettlerOptions> = {}): void {
  settler = startSettler({
    budgets: budgets(),
    database,
    ready: async () => {},
    budgeted: async () => new Set([keyId]),
    log: { describe: async (id) => described.get(id) },
    waiting: async () => waiting,
    problem: () => problem,
    onError: fail,
    reviewMs: 5,
    graceMs: -1,
    ...more,
  });
}

async function reserve(createdAt = now): Promise<string> {
  const id = newRequestId(0, createdAt);
  const reservation = { id, periods: periodsOf(createdAt), cost: 1000, tokens: 1000 };
  await budgets().reserve(keyId, reservation, []);
  return id;
}

/** An ended request of 30 tokens. */
const ended = (id: string, more: Parameters<typeof entryOf>[1] = {}, createdAt = now) =>
  entryOf(id, { ...more, meta: { keyId, createdAt } });
const store = (...entries: ReturnType<typeof entryOf>[]) => storeEntries(database, entries, prices);

const limits = limitsAt({ day: 1, month: 1, tokensPerDay: 1, currency: 'USD' }, now);
async function use() {
  const [state] = await budgets().read([keyId]);
  const [day, dayTokens, month] = limits.map(({ unit, period }) => state?.useOf(unit, period));
  return { day, dayTokens, month };
}
const reservedIds = async () =>
  (await budgets().reservations(keyId)).reservations.map(({ id }) => id);

test('what the database has is spent, and reserves nothing any more, at once', async () => {
  // No review but the first one.
  start({ reviewMs: 600_000 });
  await expect.poll(async () => (await budgets().read([keyId]))[0]?.confirmedAt).toBeDefined();
  const [one, other] = [await reserve(), await reserve()];
  const entries = [ended(one)];
  await store(...entries);
  settler.stored(entries);
  await expect.poll(reservedIds).toEqual([other]);
  const cost = { spent: 30, reserved: 1000 };
  expect(await use()).toEqual({ day: cost, dayTokens: cost, month: cost });
});

test('a request of unknown attempts stays reserved until the ledger knows them', async () => {
  start();
  const id = await reserve();
  described.set(id, { ended: 'cancelled' } as Described);
  const end = { end: cancelled(now), facts: undefined };
  await store(ended(id, end));
  const confirmed = (await budgets().read([keyId]))[0]?.confirmedAt ?? 0;
  await expect
    .poll(async () => (await budgets().read([keyId]))[0]?.confirmedAt)
    .toBeGreaterThan(confirmed + 20);
  expect(await reservedIds()).toEqual([id]);
  await store(
    ended(id, { end: undefined, facts: { attempts: [attemptOf(1, { usage: tokens(5, 5) })] } }),
  );
  await expect.poll(reservedIds).toEqual([]);
  expect(await use()).toMatchObject({ day: { spent: 10, reserved: 0 } });
});

test('a control plane that begins finds what another one has stored and not settled', async () => {
  const id = await reserve();
  await store(ended(id), ended('req_0_before'));
  start();
  await expect.poll(reservedIds).toEqual([]);
  expect(await use()).toMatchObject({ day: { spent: 60 }, month: { spent: 60 } });
});

test('the last requests of a key whose budget is gone are settled, too', async () => {
  let ids = new Set([keyId]);
  let reads = 0;
  start({
    async budgeted() {
      reads += 1;
      return ids;
    },
  });
  const id = await reserve();
  described.set(id, { ended: undefined } as Described);
  await expect.poll(() => reads).toBeGreaterThan(1);
  ids = new Set();
  const before = reads;
  await expect.poll(() => reads).toBeGreaterThan(before + 2);
  await store(ended(id));
  await expect.poll(reservedIds).toEqual([]);
  await expect.poll(() => settler.countsFrom()).toBe(Infinity);
});

test('a request that was never created is given back, and one under way or in the queue is not', async () => {
  const [lost, running] = [await reserve(), await reserve()];
  described.set(running, { ended: undefined } as Described);
  start();
  await expect.poll(reservedIds).toEqual([running]);
  expect(await use()).toMatchObject({ day: { reserved: 1000 } });
  expect(lost).not.toBe(running);
});

test('a request that is not in Redis for a moment is not given back before the grace time', async () => {
  const id = await reserve();
  start({ graceMs: 60_000 });
  await expect.poll(async () => (await budgets().read([keyId]))[0]?.confirmedAt).toBeDefined();
  const confirmed = (await budgets().read([keyId]))[0]?.confirmedAt ?? 0;
  await expect
    .poll(async () => (await budgets().read([keyId]))[0]?.confirmedAt)
    .toBeGreaterThan(confirmed + 20);
  expect(await reservedIds()).toEqual([id]);
});

test('a request that is gone from Redis stays reserved as long as its ledger entry may wait', async () => {
  const id = await reserve();
  waiting = { oldest: '5-0', newest: '9-1' };
  const own = budgets();
  let reviews = 0;
  function beginSettling(key: string) {
    reviews += 1;
    return own.beginSettling(key);
  }
  start({ budgets: { ...own, beginSettling } });
  async function past(count: number): Promise<void> {
    await expect.poll(() => reviews).toBeGreaterThan(count);
  }
  await past(3);
  expect(await reservedIds()).toEqual([id]);
  waiting = { oldest: '9-1', newest: '12-0' };
  await past(reviews + 3);
  expect(await reservedIds()).toEqual([id]);
  waiting = { oldest: '9-2', newest: '12-0' };
  await expect.poll(reservedIds).toEqual([]);
});

test('nothing is confirmed while entries are not stored', async () => {
  problem = 'the database is away';
  let looks = 0;
  start({
    problem() {
      looks += 1;
      return problem;
    },
  });
  await reserve();
  await expect.poll(() => looks).toBeGreaterThan(3);
  expect((await budgets().read([keyId]))[0]?.confirmedAt).toBeUndefined();
  problem = undefined;
  await expect.poll(async () => (await budgets().read([keyId]))[0]?.confirmedAt).toBeDefined();
});

test('while entries are not stored it looks once for each review, and rests between them', async () => {
  problem = 'the database is away';
  let looks = 0;
  start({
    reviewMs: 600_000,
    problem() {
      looks += 1;
      return problem;
    },
  });
  // Long enough for hundreds of looks without a rest.
  await delay(50);
  expect(looks).toBe(1);
});

test('a key that cannot be settled is reported once, and the others are settled', async () => {
  const id = await reserve();
  const errors: Error[] = [];
  const redis = server.connect();
  await redis.set(keyspace().budgetTotals('broken'), 'no hash');
  await redis.set(keyspace().reservations('broken'), 'no hash');
  const ids = new Set(['broken', keyId]);
  start({
    budgeted: async () => new Set(ids),
    onError: (error) => errors.push(error as Error),
  });
  const entries = [ended(id)];
  await store(...entries);
  await expect.poll(reservedIds).toEqual([]);
  const next = await reserve();
  const more = [entryOf('req_0_broken', { meta: { keyId: 'broken' } }), ended(next)];
  await store(...more);
  settler.stored(more);
  await expect.poll(reservedIds).toEqual([]);
  ids.delete('broken');
  // Two reviews at least.
  for (let i = 0; i < 2; i++) {
    await store(ended(await reserve()));
    await expect.poll(reservedIds).toEqual([]);
  }
  expect(errors.map(({ message }) => message)).toEqual([
    "the budget of key 'broken' cannot be settled",
  ]);
});

test('requests that end during a review are settled before it is over', async () => {
  const id = await reserve();
  const own = budgets();
  const gate = Promise.withResolvers<void>();
  const blocked = Promise.withResolvers<void>();
  const settled: string[] = [];
  start({
    reviewMs: 600_000,
    budgeted: async () => new Set([keyId, 'first', 'second']),
    budgets: {
      ...own,
      async reservations(key) {
        if (key === 'first') {
          blocked.resolve();
          await gate.promise;
        }
        return own.reservations(key);
      },
      async settle(key, settlement) {
        settled.push(key);
        return own.settle(key, settlement);
      },
    },
  });
  await blocked.promise;
  const entries = [ended(id)];
  await store(...entries);
  settler.stored(entries);
  gate.resolve();
  await expect.poll(() => settled).toEqual([keyId, 'first', keyId, 'second']);
  expect(await reservedIds()).toEqual([]);
});

test('requests belong to the day and the month of their creation', async () => {
  start();
  const dayMs = 86_400_000;
  const monthStart = Date.parse(`${periods.month}-01`);
  const earlier = [now - dayMs, monthStart - 1];
  await store(ended('req_0_today'), ...earlier.map((at, i) => ended(`req_0_${i}`, {}, at)));
  await expect.poll(use).toMatchObject({
    day: { spent: 30 },
    month: { spent: now - dayMs >= monthStart ? 60 : 30 },
  });
});

test('a key that gets a budget has what the ledger knows before it is used', async () => {
  start({ budgeted: async () => new Set(), reviewMs: 600_000 });
  // Of a budget that it had before.
  const id = await reserve();
  await store(ended('req_0_before'), ended(id));
  await settler.refresh(keyId);
  expect(await use()).toMatchObject({ day: { spent: 60, reserved: 0 } });
  expect(settler.countsFrom()).toBeLessThanOrEqual(Date.parse(`${periods.month}-01`));
});
