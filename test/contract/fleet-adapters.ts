import { createMemoryFleet } from '@millrace/shared/store/gossip/memory-gossip';
import type { Fleet } from '@millrace/shared/store/gossip/port';
import { createRedisFleet } from '@millrace/shared/store/gossip/redis-gossip';
import { keyspace } from '@millrace/shared/store/keys';
import type { Keyspace } from '@millrace/shared/store/keys';
import type { Redis } from '@millrace/shared/store/redis';
import { expect } from 'vitest';
import type { TestRedis } from '../harness/redis.ts';

/** One adapter with a store of its own, and what a test may do to it. */
export type FleetUnderTest = {
  join(owner: string): Fleet;
  /** What is shared cannot be reached, by anyone. Resolves when everyone has noticed. */
  cut(): Promise<void>;
  mend(): Promise<void>;
};

export function openMemoryFleet(): FleetUnderTest {
  const { join, cut, mend } = createMemoryFleet();
  return { join, cut: async () => cut(), mend: async () => mend() };
}

export type RedisFleetUnderTest = FleetUnderTest & { redis: Redis; keys: Keyspace };

let opened = 0;

/** A namespace of its own on a Redis that many tests share. */
export function openRedisFleet(server: TestRedis): RedisFleetUnderTest {
  opened += 1;
  const keys = keyspace(`fleet${opened}-${crypto.randomUUID().slice(0, 8)}`);
  const connections: Redis[] = [];
  const connect = () => {
    const connection = server.connect();
    connections.push(connection);
    return connection;
  };
  return {
    redis: connect(),
    keys,
    join: (owner) =>
      // While a test stops its Redis, connections are lost, and that is no failure.
      createRedisFleet({ keys, owner, redis: connect(), connect, onError: () => {} }),
    async cut() {
      await server.kill('SIGTERM');
      await expect.poll(() => connections.some(({ status }) => status === 'ready')).toBe(false);
    },
    mend: () => server.start(),
  };
}
