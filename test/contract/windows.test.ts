import { setTimeout as sleep } from 'node:timers/promises';
import { keyspace } from '@millrace/shared/store/keys';
import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import type { Windows } from '@millrace/shared/store/quota/port';
import { createRedisWindows } from '@millrace/shared/store/quota/redis-windows';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { mostWithin, takeAll } from './window-steps.ts';

// Limits that a fleet shares: what both adapters promise, and what only Redis can.

let server: TestRedis;
let count = 0;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

const onRedis = (windowMs: number): Windows =>
  createRedisWindows({ redis: server.connect(), keys: keyspace(), windowMs });
const newKey = () => `p/m${count++}`;

const requests = (limit: number, amount = 1) => ({ name: 'requests', limit, amount });
const tokens = (limit: number, amount: number) => ({ name: 'tokens', limit, amount });

describe.each([
  { adapter: 'memory', open: (windowMs: number) => createMemoryWindows({ windowMs }) },
  { adapter: 'Redis', open: onRedis },
])('windows in $adapter', ({ open }) => {
  it('grant up to the limit and then say when', async () => {
    const windows = open(60_000);
    const key = newKey();
    for (const used of [1, 2, 3]) {
      expect(await windows.take(key, [requests(3)])).toMatchObject({ kind: 'yes', used: [used] });
    }
    const refused = await windows.take(key, [requests(3)]);
    expect(refused).toMatchObject({ kind: 'no', used: [3] });
    const waitMs = refused.kind === 'no' ? refused.retryAfterMs : 0;
    expect(waitMs).toBeGreaterThan(30_000);
    expect(waitMs).toBeLessThanOrEqual(61_000);
    expect((await windows.take(newKey(), [requests(3)])).kind).toBe('yes');
  });

  it('grant again after the time that they said', async () => {
    const windows = open(300);
    const key = newKey();
    await windows.take(key, [requests(1)]);
    const refused = await windows.take(key, [requests(1)]);
    await sleep(refused.kind === 'no' ? refused.retryAfterMs + 1 : 0);
    expect((await windows.take(key, [requests(1)])).kind).toBe('yes');
  });

  it('charge every window or none', async () => {
    const windows = open(60_000);
    const key = newKey();
    const both = (amount: number) => [requests(5), tokens(1000, amount)];
    expect(await windows.take(key, both(800))).toMatchObject({ kind: 'yes', used: [1, 800] });
    expect(await windows.take(key, both(300))).toMatchObject({ kind: 'no', used: [1, 800] });
    expect(await windows.take(key, both(200))).toMatchObject({ kind: 'yes', used: [2, 1000] });
  });

  it('say when they are empty again', async () => {
    const windows = open(60_000);
    const key = newKey();
    const charges = [requests(1), tokens(1000, 1000)];
    const taken = await windows.take(key, charges);
    expect(
      (await windows.take(key, [requests(1), { ...requests(9), name: 'new' }])).resetMs,
    ).toEqual([expect.toSatisfy((ms: number) => ms > 50_000 && ms <= 61_000), 0]);
    expect(taken.resetMs).toHaveLength(2);
    for (const ms of taken.resetMs) {
      expect(ms).toBeGreaterThan(59_000);
      expect(ms).toBeLessThanOrEqual(61_000);
    }
  });

  it('take an amount above the limit for the limit', async () => {
    const windows = open(60_000);
    const key = newKey();
    expect(await windows.take(key, [tokens(100, 5000)])).toMatchObject({
      kind: 'yes',
      used: [100],
    });
    expect((await windows.take(key, [tokens(100, 1)])).kind).toBe('no');
  });

  it('take back what was not used, and count what was used beyond', async () => {
    const windows = open(60_000);
    const key = newKey();
    const taken = await windows.take(key, [tokens(100, 80)]);
    const slot = taken.kind === 'yes' ? taken.slot : undefined;
    await windows.correct(key, [{ name: 'tokens', amount: -70, slot }]);
    expect(await windows.take(key, [tokens(100, 50)])).toMatchObject({ kind: 'yes', used: [60] });
    await windows.correct(key, [{ name: 'tokens', amount: 500 }]);
    expect(await windows.take(key, [tokens(100, 1)])).toMatchObject({ kind: 'no', used: [560] });
  });

  it('do not take back what has left its window', async () => {
    const windows = open(300);
    const key = newKey();
    const first = await windows.take(key, [tokens(100, 100)]);
    const slot = first.kind === 'yes' ? first.slot : undefined;
    const refused = await windows.take(key, [tokens(100, 100)]);
    await sleep(refused.kind === 'no' ? refused.retryAfterMs + 1 : 0);
    expect((await windows.take(key, [tokens(100, 100)])).kind).toBe('yes');
    await windows.correct(key, [{ name: 'tokens', amount: -100, slot }]);
    expect((await windows.take(key, [tokens(100, 100)])).kind).toBe('no');
  });
});

describe('windows in Redis', () => {
  it('correct all or nothing', async () => {
    const key = newKey();
    const windows = onRedis(60_000);
    for (const amount of [1e19, Number.NaN, 0.5]) {
      const corrections = [
        { name: 'requests', amount: 1 },
        { name: 'tokens', amount },
      ];
      await expect(windows.correct(key, corrections)).rejects.toThrow(/not an amount/);
    }
    expect(await windows.take(key, [requests(9)])).toMatchObject({ used: [1] });
  });

  it('never let two workers have more than the limit within any window', async () => {
    const windowMs = 1000;
    const key = newKey();
    const limit = 50;
    const workers = [onRedis(windowMs), onRedis(windowMs)];
    const grants = await takeAll(
      workers.map((windows) => () => windows.take(key, [requests(limit)])),
      { until: (all) => all.length >= 4 * limit },
    );
    expect(mostWithin(grants, windowMs)).toBeLessThanOrEqual(limit);
  });

  it('leave nothing behind', async () => {
    const redis = server.connect();
    const key = newKey();
    const windows = onRedis(300);
    await windows.take(key, [requests(9), tokens(100, 5)]);
    await windows.correct(key, [{ name: 'tokens', amount: 9 }]);
    const ttl = await redis.pttl(keyspace().limit(key));
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(305);
    await expect.poll(() => redis.exists(keyspace().limit(key))).toBe(0);
    // What is given back to a window that is gone is not written again, without an end of life.
    await windows.correct(key, [{ name: 'tokens', amount: -9, slot: 1 }]);
    expect(await redis.exists(keyspace().limit(key))).toBe(0);
  });
});
