import { createMemoryGossip } from '@millrace/shared/store/gossip/memory-gossip';
import type { Gossip } from '@millrace/shared/store/gossip/port';
import { createRedisGossip } from '@millrace/shared/store/gossip/redis-gossip';
import { keyspace } from '@millrace/shared/store/keys';
import type { Keyspace } from '@millrace/shared/store/keys';
import type { Redis } from '@millrace/shared/store/redis';
import { expect } from 'vitest';
import type { TestRedis } from '../kit/redis.ts';

/** One adapter with a store of its own, and what a test may do to it. */
export type GossipUnderTest = {
  join(owner: string): Gossip;
  /** What is shared cannot be reached, by anyone. Resolves when everyone has noticed. */
  disconnect(): Promise<void>;
  reconnect(): Promise<void>;
};

export function openMemoryGossip(): GossipUnderTest {
  const { join, disconnect, reconnect } = createMemoryGossip();
  return { join, disconnect: async () => disconnect(), reconnect: async () => reconnect() };
}

export type RedisGossipUnderTest = GossipUnderTest & { redis: Redis; keys: Keyspace };

let opened = 0;

/** A namespace of its own on a Redis that many tests share. */
export function openRedisGossip(server: TestRedis): RedisGossipUnderTest {
  opened += 1;
  const keys = keyspace(`gossip${opened}-${crypto.randomUUID().slice(0, 8)}`);
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
      createRedisGossip({ keys, owner, redis: connect(), connect, onError: () => {} }),
    async disconnect() {
      await server.kill('SIGTERM');
      await expect.poll(() => connections.some(({ status }) => status === 'ready')).toBe(false);
    },
    reconnect: () => server.start(),
  };
}
