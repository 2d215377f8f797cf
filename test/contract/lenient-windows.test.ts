import { setImmediate } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { keyspace } from '@millrace/shared/store/keys';
import { lenientWindows } from '@millrace/shared/store/quota/lenient-windows';
import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import type { Windows } from '@millrace/shared/store/quota/port';
import { createRedisWindows } from '@millrace/shared/store/quota/redis-windows';
import { describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';

const requests = (limit: number, amount = 1) => [{ name: 'requests', limit, amount }];

function noError(error: unknown): never {
  throw error;
}

describe('lenient windows', () => {
  it('grant without a charge while the connection to the store is down', async () => {
    const store = { isReady: true };
    const shared = createMemoryWindows();
    const windows = lenientWindows({ shared, isReady: () => store.isReady, onError: noError });
    expect(await windows.take('k', requests(2, 2))).toMatchObject({ kind: 'yes', used: [2] });
    expect((await windows.take('k', requests(2))).kind).toBe('no');
    store.isReady = false;
    expect((await windows.take('k', requests(2))).kind).toBe('yes');
    store.isReady = true;
    expect(await windows.take('k', requests(2))).toMatchObject({ kind: 'no', used: [2] });
  });

  it('grant when the store does not answer in time, and keep a charge that comes through later', async () => {
    const shared = createMemoryWindows();
    const silence = Promise.withResolvers<void>();
    const slow: Windows = {
      ...shared,
      take: (key, charges) => silence.promise.then(() => shared.take(key, charges)),
    };
    const windows = lenientWindows({
      shared: slow,
      isReady: () => true,
      patienceMs: 5,
      onError: noError,
    });
    expect((await windows.take('k', requests(1))).kind).toBe('yes');
    silence.resolve();
    await expect.poll(() => shared.take('k', requests(1))).toMatchObject({ kind: 'no', used: [1] });
  });

  it('grant when the store fails, and report the error', async () => {
    const errors: unknown[] = [];
    const windows = lenientWindows({
      shared: { take: () => Promise.reject(new Error('NOPERM')), correct: async () => {} },
      isReady: () => true,
      onError: (error) => errors.push(error),
    });
    expect((await windows.take('k', requests(1))).kind).toBe('yes');
    expect(errors).toEqual([new Error('NOPERM')]);
  });

  it('do not take a store for silent if their own process was late', async () => {
    // The answer is there at once, and waits until this process reads its sockets.
    const { port1: store, port2: here } = new MessageChannel();
    const windows = lenientWindows({
      shared: {
        take: () =>
          new Promise((resolve) => {
            here.once('message', resolve);
            store.postMessage({ kind: 'no', retryAfterMs: 7, used: [1], resetMs: [7] }, []);
          }),
        correct: async () => {},
      },
      isReady: () => true,
      patienceMs: 5,
      onError: noError,
    });
    // From here, the loop comes to its timers before it comes to its sockets.
    await setImmediate();
    const taken = windows.take('k', requests(1));
    for (const until = performance.now() + 20; performance.now() < until;);
    expect(await taken).toMatchObject({ kind: 'no', retryAfterMs: 7 });
    here.close();
  });

  it('give nothing back for a grant that was not charged', async () => {
    await using server = await startRedis();
    const shared = createRedisWindows({ redis: server.connect(), keys: keyspace() });
    await shared.take('k', requests(10, 4));
    const away = lenientWindows({ shared, isReady: () => false, onError: noError });
    const taken = await away.take('k', requests(10));
    if (taken.kind === 'no') throw new Error('refused');
    await away.correct('k', [{ name: 'requests', amount: -1, slot: taken.slot }]);
    expect(await shared.take('k', requests(10))).toMatchObject({ kind: 'yes', used: [5] });
  });

  it('hold the limit again once a Redis that was away is back', async () => {
    await using server = await startRedis();
    const redis = server.connect();
    const windows = lenientWindows({
      shared: createRedisWindows({ redis, keys: keyspace() }),
      isReady: () => redis.status === 'ready',
      onError() {},
    });
    await expect.poll(() => redis.status).toBe('ready');
    expect((await windows.take('k', requests(3, 3))).kind).toBe('yes');
    await server.kill();
    await expect.poll(() => redis.status).not.toBe('ready');
    expect((await windows.take('k', requests(3))).kind).toBe('yes');
    await server.start();
    await expect.poll(() => redis.status).toBe('ready');
    expect(await windows.take('k', requests(3))).toMatchObject({ kind: 'no', used: [3] });
  });
});
