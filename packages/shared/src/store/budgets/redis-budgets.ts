import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { BudgetUnit } from '../../domain/budget.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import { loadScript, runScript } from '../script.ts';
import { idleMs, maxReservations } from './port.ts';
import type { BudgetState, Budgets } from './port.ts';

export type RedisBudgetsOptions = {
  redis: Redis;
  keys: Keyspace;
  /**
   * Milliseconds without a confirmation of the ledger after which no request is reserved; undefined: requests are
   * reserved by what is known.
   */
  unconfirmedMs?: (() => number | undefined) | undefined;
  mostReservations?: number;
};

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { reserve: load('reserve'), release: load('release'), settle: load('settle') };
const { budgets: names } = records;

/** Ids of one call: Lua accepts some thousands of values, and Redis serves no other client meanwhile. */
const idsPerCall = 500;
/** Reservations of one call. */
const pageSize = 1000;

/** Two hashes for each key of a client, in one slot. During an outage of Redis calls wait. */
export function createRedisBudgets(options: RedisBudgetsOptions): Budgets {
  const { redis, keys, unconfirmedMs, mostReservations = maxReservations } = options;
  const keysOf = (keyId: string) => [keys.budgetTotals(keyId), keys.reservations(keyId)];

  return {
    async reserve(keyId, { id, periods: { day, month }, cost, tokens }, limits) {
      const request = [id, day, month, String(cost), String(tokens)];
      const bounds = [mostReservations, unconfirmedMs?.() ?? 0, idleMs];
      const each = limits.flatMap(({ unit, period, limit }) => [unit, period, String(limit)]);
      const args = [...request, ...bounds, ...each];
      const reply = await runScript(redis, scripts.reserve, keysOf(keyId), args);
      const [kind, ...amounts] = reply as ['reserved' | 'used_up' | 'unconfirmed', ...string[]];
      const use = limits.map((_, i) => {
        return { spent: Number(amounts[2 * i] ?? 0), reserved: Number(amounts[2 * i + 1] ?? 0) };
      });
      return { kind, use };
    },
    async release(keyId, id) {
      await runScript(redis, scripts.release, keysOf(keyId), [id]);
    },
    async beginSettling(keyId) {
      const before = await redis.hget(keys.budgetTotals(keyId), names.written);
      return { version: randomUUID(), before: before ?? '' };
    },
    async settle(keyId, { version, before, spent, ended }) {
      const written = spent.flatMap(({ period, cost, tokens, unpriced }) => [
        period,
        ...[cost, tokens, unpriced].map(String),
      ]);
      for (let i = 0; i === 0 || i < ended.length; i += idsPerCall) {
        const ids = ended.slice(i, i + idsPerCall);
        const args = [version, before, idleMs, spent.length, ...written, ...ids];
        const isWritten = await runScript(redis, scripts.settle, keysOf(keyId), args);
        if (isWritten !== 1) return false;
      }
      return true;
    },
    async reservations(keyId) {
      const [seconds, microseconds] = await redis.time();
      const now = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
      const found = new Map<string, number>();
      let cursor = '0';
      do {
        const [next, fields] = await redis.hscan(
          keys.reservations(keyId),
          cursor,
          'COUNT',
          pageSize,
        );
        // A field may be returned twice.
        for (let i = 0; i < fields.length; i += 2) {
          const [, , , , at] = JSON.parse(fields[i + 1] ?? '[]') as unknown[];
          found.set(fields[i] ?? '', Number(at));
        }
        cursor = next;
      } while (cursor !== '0');
      const reservations = [...found].map(([id, at]) => {
        return { id, at, isShared: id.startsWith(names.shared) };
      });
      return { now, reservations };
    },
    read: (keyIds) =>
      Promise.all(
        keyIds.map(async (keyId) => stateOf(await redis.hgetall(keys.budgetTotals(keyId)))),
      ),
  };
}

function stateOf(totals: Readonly<Record<string, string>>): BudgetState {
  const count = (field: string) => Number(totals[field] ?? 0);
  return {
    confirmedAt: totals[names.confirmed] === undefined ? undefined : count(names.confirmed),
    useOf: (unit: BudgetUnit, period) => ({
      spent: count(`${names.spent}${unit}:${period}`),
      reserved: count(`${names.reserved}${unit}:${period}`),
    }),
    unpriced: (period) => count(names.unpriced + period),
  };
}
