import { statesTtlMs, maxStates } from '@millrace/shared/store/gossip/port';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { openMemoryGossip, openRedisGossip } from './gossip-adapters.ts';
import { gossipContract } from './gossip.contract.ts';

// One port, two adapters, one suite: what tests run on the memory adapter holds for the one on Redis.

describe('the gossip in memory', () => {
  gossipContract(openMemoryGossip);
});

describe('the gossip on Redis', () => {
  let server: TestRedis;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.close());

  gossipContract(() => openRedisGossip(server));

  it('leaves nothing without an end of life', async () => {
    const { join, redis, keys } = openRedisGossip(server);
    const one = join('one');
    await expect.poll(() => one.setState('x', 'a', undefined)).toMatchObject({ kind: 'set' });
    await one.claim('a', 60_000);
    const names = (await redis.keys('*')).filter((name) => name.includes(keys.namespace));
    expect(names.toSorted()).toEqual([keys.sharedStates(), keys.gossipLease('a')]);
    for (const name of names) {
      const ttl = await redis.pttl(name);
      expect(ttl).toBeGreaterThan(0);
      expect(ttl).toBeLessThanOrEqual(statesTtlMs);
    }
  });

  it('takes no more shared states than the limit', async () => {
    const { join, redis, keys } = openRedisGossip(server);
    const fields = Array.from({ length: maxStates }, (_, i) => [`f${i}`, 'v text']);
    await redis.hset(keys.sharedStates(), Object.fromEntries(fields));
    const one = join('one');
    await expect.poll(() => one.setState('x', 'a', undefined)).toEqual({ kind: 'full' });
    expect(await one.setState('f1', 'a', 'v')).toMatchObject({ kind: 'set' });
  });

  it('keeps shared states and leases while Redis is full', async () => {
    const { join, redis } = openRedisGossip(server);
    const one = join('one');
    await expect.poll(() => one.claim('a', 60_000)).toBe('claimed');
    await redis.config('SET', 'maxmemory', '1');
    try {
      expect(await one.setState('x', 'a', undefined)).toMatchObject({ kind: 'set' });
      expect(await one.claim('b', 60_000)).toBe('claimed');
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
  });

  it('sends no more than a bounded number of texts to a Redis that stands still', async () => {
    const { join } = openRedisGossip(server);
    const one = join('one');
    await expect.poll(() => one.claim('a', 60_000)).toBe('claimed');
    process.kill(server.pid, 'SIGSTOP');
    try {
      for (let i = 0; i < 150; i++) one.publish(String(i));
      expect(one.counters()).toEqual({ published: 0, dropped: 50 });
      // Waits as long as its patience, and no longer.
      expect(await one.states()).toEqual({ kind: 'away' });
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    await expect.poll(() => one.counters().published).toBe(100);
  });
});
