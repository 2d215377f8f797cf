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
    const good = {
      id: 'good',
      // Of a later version, and an alias that the config has lost.
      note: 'kept',
      models: ['lost'],
      ips: ['10.0.0.0/8'],
      priority: 'normal' as const,
      weight: 1,
      secrets: [{ sha256: 'a'.repeat(64), createdAt: 1, until: 2 }],
      createdAt: 1,
      expiresAt: 3,
    };
    await store.write(good, undefined);
    const { id: _, ...others } = good;
    const [secret] = good.secrets;
    const broken = Object.entries({
      'no-object': [],
      'only-id': {},
      'other-id': { ...others, id: 'good' },
      'secret-empty': { ...others, secrets: [{}] },
      'secret-null': { ...others, secrets: [null] },
      'secret-short': { ...others, secrets: [{ ...secret, sha256: 'abcd' }] },
      'secret-upper': { ...others, secrets: [{ ...secret, sha256: 'A'.repeat(64) }] },
      'secret-until': { ...others, secrets: [{ ...secret, until: 'tomorrow' }] },
      'secret-made': { ...others, secrets: [{ ...secret, createdAt: null }] },
      'secrets-none': { ...others, secrets: {} },
      'time-text': { ...others, expiresAt: 'tomorrow' },
      'time-null': { ...others, revokedAt: null },
      'models-null': { ...others, models: [null] },
      'models-none': { ...others, models: undefined },
      'ips-text': { ...others, ips: ['nowhere'] },
      'ips-none': { ...others, ips: undefined },
      'weight-text': { ...others, weight: 'much' },
      'limits-text': { ...others, limits: { concurrent: 'many' } },
    }).map(([id, record]) => [
      `key:${id}`,
      JSON.stringify(Array.isArray(record) ? record : { id, ...record }),
    ]);
    await redis.hset(hash, 'key:broken', '{', ...broken.flat(), 'of-later-versions', '1');
    expect((await store.read()).keys).toEqual([good]);
    const fields = ['key:broken', ...broken.map(([field = '']) => field)];
    expect(damaged).toHaveLength(fields.length);
    expect(new Set(damaged)).toEqual(new Set(fields));
    expect(await store.find('broken')).toBeUndefined();
    expect(await store.find('secret-null')).toBeUndefined();
    expect(await store.find('good')).toEqual(good);
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
