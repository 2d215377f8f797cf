import { factsTtlMs, maxFacts } from '@millrace/shared/store/gossip/port';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../harness/redis.ts';
import type { TestRedis } from '../harness/redis.ts';
import { openMemoryFleet, openRedisFleet } from './fleet-adapters.ts';
import { fleetContract } from './fleet.contract.ts';

// One port, two adapters, one suite: what tests run on the memory fleet holds for the one on Redis.

describe('the fleet in memory', () => {
  fleetContract(openMemoryFleet);
});

describe('the fleet on Redis', () => {
  let server: TestRedis;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.close());

  fleetContract(() => openRedisFleet(server));

  it('leaves nothing without an end of life', async () => {
    const { join, redis, keys } = openRedisFleet(server);
    const one = join('one');
    await expect.poll(() => one.setFact('x', 'a', undefined)).toMatchObject({ kind: 'set' });
    await one.claim('a', 60_000);
    const names = (await redis.keys('*')).filter((name) => name.includes(keys.namespace));
    expect(names.toSorted()).toEqual([keys.fleetFacts(), keys.fleetLease('a')]);
    for (const name of names) {
      const ttl = await redis.pttl(name);
      expect(ttl).toBeGreaterThan(0);
      expect(ttl).toBeLessThanOrEqual(factsTtlMs);
    }
  });

  it('takes no more facts than there may be', async () => {
    const { join, redis, keys } = openRedisFleet(server);
    const fields = Array.from({ length: maxFacts }, (_, i) => [`f${i}`, 'v text']);
    await redis.hset(keys.fleetFacts(), Object.fromEntries(fields));
    const one = join('one');
    await expect.poll(() => one.setFact('x', 'a', undefined)).toEqual({ kind: 'full' });
    expect(await one.setFact('f1', 'a', 'v')).toMatchObject({ kind: 'set' });
  });

  it('keeps facts and leases while Redis is full', async () => {
    const { join, redis } = openRedisFleet(server);
    const one = join('one');
    await expect.poll(() => one.claim('a', 60_000)).toBe('claimed');
    await redis.config('SET', 'maxmemory', '1');
    try {
      expect(await one.setFact('x', 'a', undefined)).toMatchObject({ kind: 'set' });
      expect(await one.claim('b', 60_000)).toBe('claimed');
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
  });

  it('sends a Redis that stands still no more than a bound of texts', async () => {
    const { join } = openRedisFleet(server);
    const one = join('one');
    await expect.poll(() => one.claim('a', 60_000)).toBe('claimed');
    process.kill(server.pid, 'SIGSTOP');
    try {
      for (let i = 0; i < 150; i++) one.publish(String(i));
      expect(one.counters()).toEqual({ published: 0, dropped: 50 });
      // Waits as long as its patience, and no longer.
      expect(await one.facts()).toEqual({ kind: 'away' });
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    await expect.poll(() => one.counters().published).toBe(100);
  });
});
