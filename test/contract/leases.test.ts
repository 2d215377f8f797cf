import { keyspace } from '@millrace/shared/store/keys';
import { createLeaseKeeper } from '@millrace/shared/store/quota/lease-keeper';
import type { LeaseKeeper, LeaseKeeperOptions } from '@millrace/shared/store/quota/lease-keeper';
import type { Leases } from '@millrace/shared/store/quota/port';
import { createRedisLeases } from '@millrace/shared/store/quota/redis-leases';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

let server: TestRedis;
let count = 0;
let keepers: LeaseKeeper[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
afterEach(() => {
  for (const keeper of keepers) keeper.close();
  keepers = [];
});

const open = (ttlMs = 10_000): Leases =>
  createRedisLeases({ redis: server.connect(), keys: keyspace(), ttlMs });
const newName = () => `key:${count++}`;

function keep(more: Partial<LeaseKeeperOptions> = {}): LeaseKeeper {
  const keeper = createLeaseKeeper({
    leases: open(),
    isReady: () => true,
    onError(error) {
      throw error;
    },
    // Renewed by the tests themselves.
    intervalMs: 3_600_000,
    ...more,
  });
  keepers.push(keeper);
  return keeper;
}

describe('leases in Redis', () => {
  it('are held by as many as may, and given back by anybody', async () => {
    const [leases, other] = [open(), open()];
    const name = newName();
    expect(await leases.take(name, 'a', 2)).toEqual({ kind: 'yes', held: 1 });
    expect(await other.take(name, 'b', 2)).toEqual({ kind: 'yes', held: 2 });
    expect(await leases.take(name, 'c', 2)).toEqual({ kind: 'no', held: 2 });
    // The same again, as after a lost connection.
    expect(await leases.take(name, 'b', 2)).toEqual({ kind: 'yes', held: 2 });
    await leases.release(name, 'b');
    await leases.release(name, 'b');
    expect(await other.take(name, 'c', 2)).toEqual({ kind: 'yes', held: 2 });
    expect(await leases.take(newName(), 'c', 1)).toEqual({ kind: 'yes', held: 1 });
  });

  it('are never more than allowed when all come at once', async () => {
    const [leases, other] = [open(), open()];
    const name = newName();
    const taken = await Promise.all(
      Array.from({ length: 200 }, (_, i) => (i % 2 ? leases : other).take(name, `id-${i}`, 20)),
    );
    expect(taken.filter(({ kind }) => kind === 'yes')).toHaveLength(20);
  });

  it('end by themselves, the whole key with the last of them', async () => {
    const leases = open(150);
    const name = newName();
    await leases.take(name, 'dead', 1);
    expect((await leases.take(name, 'next', 1)).kind).toBe('no');
    await expect.poll(async () => (await leases.take(name, 'next', 1)).kind).toBe('yes');
    const redis = server.connect();
    await expect.poll(() => redis.exists(keyspace().leases(name))).toBe(0);
  });

  it('live on when they are renewed, and are not made anew by that', async () => {
    const leases = open();
    const name = newName();
    const redis = server.connect();
    await leases.take(name, 'a', 1);
    const endOfLife = async () => Number(await redis.zscore(keyspace().leases(name), 'a'));
    const before = await endOfLife();
    await expect
      .poll(async () => {
        expect(await leases.renew(name, ['a', 'gone'])).toEqual(['gone']);
        return endOfLife();
      })
      .toBeGreaterThan(before);
    expect(await redis.zcard(keyspace().leases(name))).toBe(1);
    const many = Array.from({ length: 1200 }, (_, i) => `id-${i}`);
    expect(await leases.renew(name, many)).toEqual(many);
  });
});

describe('a keeper of leases', () => {
  it('takes its own again when they were lost, and lets go of those that others gave back', async () => {
    const leases = open();
    const keeper = keep({ leases });
    const name = newName();
    await keeper.take(name, 'own', 9, true);
    await keeper.take(name, 'job', 9, false);
    await keeper.take(name, 'left', 9, true);
    keeper.letGo('left');
    for (const id of ['own', 'job', 'left']) await leases.release(name, id);
    await keeper.renew();
    expect(keeper.size).toBe(1);
    expect(await leases.renew(name, ['own', 'job', 'left'])).toEqual(['job', 'left']);
  });

  it('keeps from here on what another process took, until it is over or goes on elsewhere', async () => {
    const leases = open();
    const name = newName();
    await leases.take(name, 'a', 9);
    const keeper = keep({ leases });
    keeper.hold(name, 'a');
    keeper.hold(name, 'b');
    await keeper.renew();
    expect(await leases.renew(name, ['a', 'b'])).toEqual([]);
    keeper.forget('a');
    keeper.release(name, 'b');
    expect(keeper.size).toBe(0);
    await expect.poll(() => leases.renew(name, ['a', 'b'])).toEqual(['b']);
  });

  it('looks now and then whether what runs elsewhere is over', async () => {
    const clock = { now: 0 };
    const asked: string[] = [];
    const keeper = keep({
      now: () => clock.now,
      isOver: async (id) => {
        asked.push(id);
        return id === 'removed';
      },
    });
    const name = newName();
    await keeper.take(name, 'own', 9, true);
    await keeper.take(name, 'removed', 9, false);
    await keeper.take(name, 'running', 9, false);
    await keeper.renew();
    expect(asked).toEqual([]);
    clock.now += 30_000;
    await keeper.renew();
    await keeper.renew();
    expect(asked).toEqual(['removed', 'running']);
    expect(keeper.size).toBe(2);
  });

  it('takes again what was lost with an outage, where it is not over', async () => {
    const clock = { now: 0 };
    const leases = open();
    const store = { isThere: true };
    const keeper = keep({
      leases,
      now: () => clock.now,
      isReady: () => store.isThere,
      isOver: async (id) => id === 'over',
    });
    const name = newName();
    for (const id of ['waiting', 'over']) await keeper.take(name, id, 9, false);
    store.isThere = false;
    clock.now += 10_001;
    await keeper.take(name, 'unknown', 9, false);
    await keeper.renew();
    for (const id of ['waiting', 'over']) await leases.release(name, id);
    store.isThere = true;
    await keeper.renew();
    expect(await leases.renew(name, ['waiting', 'over', 'unknown'])).toEqual(['over']);
    expect(keeper.size).toBe(2);
    // From here on it is somebody's word again.
    for (const id of ['waiting', 'unknown']) await leases.release(name, id);
    await keeper.renew();
    expect(keeper.size).toBe(0);
  });

  it('does not hold what it refused while the store kept silent', async () => {
    const leases = open();
    const name = newName();
    const { promise: silence, resolve: speak } = Promise.withResolvers<void>();
    const released: string[] = [];
    const keeper = keep({
      leases: {
        ...leases,
        async take(...asked) {
          if (asked[1] === 'late') await silence;
          return leases.take(...asked);
        },
        async release(...gone) {
          await leases.release(...gone);
          released.push(gone[1]);
        },
      },
      patienceMs: 5,
      onError() {},
    });
    await expect.poll(() => keeper.take(name, 'here', 1, true)).toBe('yes');
    // Elsewhere it is over, so that the store has room.
    await leases.release(name, 'here');
    expect(await keeper.take(name, 'late', 1, true)).toBe('no');
    speak();
    await expect.poll(() => released).toEqual(['late']);
    expect(await leases.renew(name, ['late'])).toEqual(['late']);
  });

  it('counts what it holds itself while the store is away, or silent', async () => {
    const store = { isThere: false };
    const silence = () => new Promise<never>(() => {});
    const away = keep({ isReady: () => store.isThere });
    const errors: unknown[] = [];
    const silent = keep({
      leases: { take: silence, renew: silence, release: silence },
      patienceMs: 5,
      onError: (error) => errors.push(error),
    });
    const name = newName();
    for (const keeper of [away, silent]) {
      expect(await keeper.take(name, 'a', 1, true)).toBe('yes');
      expect(await keeper.take(name, 'b', 1, true)).toBe('no');
      keeper.release(name, 'a');
      expect(await keeper.take(name, 'b', 1, true)).toBe('yes');
    }
    expect(errors).toHaveLength(3);
    store.isThere = true;
    await away.renew();
    expect(await open().take(name, 'c', 1)).toEqual({ kind: 'no', held: 1 });
  });
});
