import { setImmediate } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { keyspace } from '@millrace/shared/store/keys';
import { insureWindows } from '@millrace/shared/store/quota/insured-windows';
import { createMemoryWindows } from '@millrace/shared/store/quota/memory-windows';
import { createRedisWindows } from '@millrace/shared/store/quota/redis-windows';
import { describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import { mostWithin, takeAll } from './window-steps.ts';

const requests = (limit: number, amount = 1) => [{ name: 'requests', limit, amount }];

describe('shared limits while their store is away', () => {
  /** Workers on one store in memory that can be away, on a virtual clock. */
  function setUp({ workers = 2 } = {}) {
    const clock = { now: 1_000_000 };
    const store = { isThere: true };
    const now = () => clock.now;
    const shared = createMemoryWindows({ now });
    const fleet = Array.from({ length: workers }, () =>
      insureWindows({
        shared,
        isReady: () => store.isThere,
        processCount: () => workers,
        now,
        onError(error) {
          throw error;
        },
      }),
    );
    /** How often each of them may, one after the other, until it may not. */
    const takeUp = async (limit: number): Promise<number[]> => {
      const counts: number[] = [];
      for (const windows of fleet) {
        let taken = 0;
        while ((await windows.take('k', requests(limit))).kind === 'yes') taken += 1;
        counts.push(taken);
      }
      return counts;
    };
    return { clock, store, shared, fleet, takeUp };
  }

  it('are divided among the workers', async () => {
    const { store, takeUp } = setUp();
    store.isThere = false;
    expect(await takeUp(100)).toEqual([50, 50]);
  });

  it('leave what was used before the store went', async () => {
    const { clock, store, fleet, takeUp } = setUp();
    for (const windows of fleet) await windows.take('k', requests(100, 40));
    await fleet[0]?.take('k', requests(100));
    store.isThere = false;
    // By what each heard last: 81 were used, or 80.
    expect(await takeUp(100)).toEqual([9, 10]);
    clock.now += 61_000;
    expect(await takeUp(100)).toEqual([50, 50]);
  });

  it('let each worker ask once even where the limit is smaller than the fleet', async () => {
    const { store, takeUp } = setUp({ workers: 3 });
    store.isThere = false;
    expect(await takeUp(1)).toEqual([1, 1, 1]);
  });

  it('tell the store what was used as soon as it is back', async () => {
    const { store, shared, fleet, takeUp } = setUp();
    store.isThere = false;
    await takeUp(100);
    store.isThere = true;
    for (const windows of fleet) await windows.report();
    expect(await shared.take('k', requests(100))).toMatchObject({ kind: 'no', used: [100] });
    for (const windows of fleet) await windows.report();
    expect(await shared.take('k', requests(100))).toMatchObject({ used: [100] });
  });

  it('count what was used beyond an estimate, whichever of the two granted it', async () => {
    const { store, shared, fleet } = setUp();
    store.isThere = false;
    const [windows] = fleet;
    const taken = await windows?.take('k', requests(100, 10));
    const slot = taken?.kind === 'yes' ? taken.slot : undefined;
    await windows?.correct('k', [{ name: 'requests', amount: 5 }]);
    store.isThere = true;
    await windows?.correct('k', [{ name: 'requests', amount: -3, slot }]);
    await windows?.report();
    expect(await shared.take('k', requests(100))).toMatchObject({ used: [13] });
  });

  it('owe what was charged, and not what was asked for', async () => {
    const { store, shared, fleet } = setUp();
    store.isThere = false;
    const charges = [...requests(10), { name: 'tokens', limit: 100, amount: 1e19 }];
    expect(await fleet[0]?.take('k', charges)).toMatchObject({ kind: 'yes' });
    store.isThere = true;
    await fleet[0]?.report();
    const small = [...requests(10), { name: 'tokens', limit: 1000, amount: 1 }];
    expect(await shared.take('k', small)).toMatchObject({ kind: 'yes', used: [2, 101] });
  });

  it('are given back what was not used after all', async () => {
    const { store, shared, fleet, takeUp } = setUp();
    const [windows] = fleet;
    store.isThere = false;
    for (let i = 0; i < 10; i++) {
      const taken = await windows?.take('k', requests(100, 40));
      expect(taken?.kind).toBe('yes');
      const slot = taken?.kind === 'yes' ? taken.slot : undefined;
      await windows?.correct('k', [{ name: 'requests', amount: -40, slot }]);
    }
    expect(await takeUp(100)).toEqual([50, 50]);
    store.isThere = true;
    for (const one of fleet) await one.report();
    expect(await shared.take('k', requests(200))).toMatchObject({ used: [101] });
    // As a worker does with what an ingress was granted.
    await fleet[1]?.correct('k', [{ name: 'requests', amount: -40, slot: -17 }]);
    expect(await shared.take('k', requests(200))).toMatchObject({ used: [102] });
  });

  it('tell what is left here, and which of them is used up', async () => {
    const { store, fleet } = setUp();
    const [windows] = fleet;
    const both = (tokens: number) => [
      ...requests(10),
      { name: 'tokens', limit: 1000, amount: tokens },
    ];
    await windows?.take('k', both(400));
    store.isThere = false;
    // 9 and 600 are left for two, and 4 and 300 of them here.
    expect(await windows?.take('k', both(200))).toMatchObject({ kind: 'yes', used: [7, 900] });
    const refused = await windows?.take('k', both(200));
    expect(refused).toMatchObject({ kind: 'no', used: [7, 900] });
    expect(Math.min(...(refused?.resetMs ?? []))).toBeGreaterThan(0);
  });

  it('do not wait long for a store that keeps silent, and then not at all for a second', async () => {
    const clock = { now: 1_000_000 };
    let asked = 0;
    const silence = () => {
      asked += 1;
      return new Promise<never>(() => {});
    };
    const windows = insureWindows({
      shared: { take: silence, correct: silence },
      isReady: () => true,
      processCount: () => 1,
      patienceMs: 5,
      now: () => clock.now,
      onError() {},
    });
    expect((await windows.take('k', requests(1))).kind).toBe('yes');
    expect((await windows.take('k', requests(1))).kind).toBe('no');
    expect(asked).toBe(1);
    clock.now += 1000;
    await windows.take('k', requests(1));
    expect(asked).toBeGreaterThan(1);
  });

  it('do not take a store for silent where it is their own process that was late', async () => {
    // An answer that is there at once, and waits until this process looks for what came from outside.
    const { port1: store, port2: here } = new MessageChannel();
    const windows = insureWindows({
      shared: {
        take: () =>
          new Promise((resolve) => {
            here.once('message', resolve);
            store.postMessage({ kind: 'no', retryAfterMs: 7, used: [1], resetMs: [7] }, []);
          }),
        correct: async () => {},
      },
      isReady: () => true,
      processCount: () => 1,
      patienceMs: 5,
      onError() {},
    });
    // From here, the loop comes to its timers before it comes to its sockets.
    await setImmediate();
    const taken = windows.take('k', requests(1));
    for (const until = performance.now() + 20; performance.now() < until;);
    expect(await taken).toMatchObject({ kind: 'no', retryAfterMs: 7 });
    here.close();
  });
});

it('what Redis does late is not counted twice', async () => {
  await using server = await startRedis();
  const shared = createRedisWindows({ redis: server.connect(), keys: keyspace() });
  let silence = Promise.withResolvers<void>();
  let done = 0;
  const late =
    <A extends unknown[], R>(call: (...asked: A) => Promise<R>) =>
    async (...asked: A): Promise<R> => {
      await silence.promise;
      return call(...asked).finally(() => (done += 1));
    };
  const clock = { now: Date.now() };
  const windows = insureWindows({
    shared: { take: late(shared.take), correct: late(shared.correct) },
    isReady: () => true,
    processCount: () => 1,
    patienceMs: 5,
    now: () => clock.now,
    onError() {},
  });
  const one = requests(100);
  expect((await windows.take('k', one)).kind).toBe('yes');
  silence.resolve();
  // It was charged, and given back.
  await expect.poll(() => done).toBe(2);
  silence = Promise.withResolvers();
  await windows.report();
  silence.resolve();
  await expect.poll(() => done).toBe(3);
  clock.now += 1000;
  await windows.report();
  expect(done).toBe(3);
  expect(await shared.take('k', one)).toMatchObject({ used: [2] });
});

it('nothing that was asked for while Redis was away keeps it from being told', async () => {
  await using server = await startRedis();
  const store = { isThere: false };
  const shared = createRedisWindows({ redis: server.connect(), keys: keyspace() });
  const windows = insureWindows({
    shared,
    isReady: () => store.isThere,
    processCount: () => 1,
    onError(error) {
      throw error;
    },
    patienceMs: 10_000,
  });
  const charges = [...requests(10), { name: 'tokens', limit: 100, amount: 1e19 }];
  await windows.take('k', charges);
  store.isThere = true;
  for (let i = 0; i < 3; i++) await windows.report();
  expect(await windows.take('k', charges)).toMatchObject({ kind: 'no', used: [1, 100] });
});

it('Redis stops and comes back: requests go on, and no more than the limit within any window', async () => {
  await using server = await startRedis();
  const windowMs = 2000;
  const limit = 100;
  const fleet = [0, 1].map(() => {
    const redis = server.connect();
    const windows = insureWindows({
      shared: createRedisWindows({ redis, keys: keyspace(), windowMs }),
      isReady: () => redis.status === 'ready',
      processCount: () => 2,
      windowMs,
      onError() {},
    });
    redis.on('ready', () => void windows.report());
    return windows;
  });
  let end = Infinity;
  const takers = fleet.map((windows) => () => windows.take('k', requests(limit)));
  let made = 0;
  const going = takeAll(takers, {
    until: (grants) => {
      made = grants.length;
      return made >= end;
    },
  });
  const more = async (count: number): Promise<void> => {
    const from = made;
    await expect.poll(() => made, { interval: 5 }).toBeGreaterThanOrEqual(from + count);
  };
  await more(limit);
  await server.kill();
  await more(2 * limit);
  await server.start();
  await more(2 * limit);
  end = made;
  expect(mostWithin(await going, windowMs)).toBeLessThanOrEqual(limit * 1.01);
});
