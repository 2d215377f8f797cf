import { createMemoryApiKeys } from '@millrace/shared/store/api-keys/memory-api-keys';
import { createRedisApiKeys } from '@millrace/shared/store/api-keys/redis-api-keys';
import { keyspace } from '@millrace/shared/store/keys';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { apiKeyContract } from './api-keys.contract.ts';

describe('API keys in memory', () => {
  apiKeyContract(async () => createMemoryApiKeys());
});

describe('API keys in Redis', () => {
  let server: TestRedis;
  let damaged: string[] = [];
  let namespaces = 0;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.close());

  const open = (namespace = `test-${(namespaces += 1)}`) => {
    damaged = [];
    const redis = server.connect();
    const keys = keyspace(namespace);
    const store = createRedisApiKeys({
      redis,
      keys,
      connect: () => server.connect(),
      onDamaged: (field) => damaged.push(field),
      onError: (error) => {
        throw error;
      },
    });
    return { store, redis, hash: keys.apiKeys() };
  };

  apiKeyContract(async () => open().store);

  test('a record that cannot be read opens nothing, is reported, and hides no other', async () => {
    const { store, redis, hash } = open();
    await store.write(
      {
        id: 'good',
        models: ['*'],
        ips: [],
        priority: 'normal',
        weight: 1,
        secrets: [],
        createdAt: 1,
      },
      undefined,
    );
    await redis.hset(hash, 'key:broken', '{', 'key:odd', '{"id":"odd"}', 'of-later-versions', '1');
    expect((await store.read()).keys.map(({ id }) => id)).toEqual(['good']);
    expect(damaged.toSorted()).toEqual(['key:broken', 'key:odd']);
    expect(await store.find('broken')).toBeUndefined();
  });

  test('the version rises also if Redis has lost the newest one', async () => {
    const { store, redis, hash } = open();
    const key = {
      id: 'a',
      models: [],
      ips: [],
      priority: 'low' as const,
      weight: 1,
      secrets: [],
      createdAt: 1,
    };
    await store.write(key, undefined);
    const lost = await store.version();
    await redis.hset(hash, 'version', '1');
    await store.write({ ...key, weight: 2 }, key);
    expect(await store.version()).toBeGreaterThan(lost);
  });
});
