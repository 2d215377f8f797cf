import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Order } from '@millrace/shared/domain/order';
import { createLifecycle } from '@millrace/shared/runtime/lifecycle';
import { keyspace } from '@millrace/shared/store/keys';
import { createRedisFleet } from '@millrace/shared/store/fleet/redis-fleet';
import { startPresence } from '@millrace/shared/store/fleet/presence';
import type { Announcement } from '@millrace/shared/store/fleet/port';
import { createRedisChannels } from '@millrace/shared/store/stream-log/redis-channels';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';

// The list of processes and the orders of operators, in a real Redis.

let redis: TestRedis;
let commands: ReturnType<TestRedis['connect']>;
beforeAll(async () => {
  redis = await startRedis();
  commands = redis.connect();
});
afterAll(() => redis?.close());
beforeEach(() => commands.flushall());

const keys = keyspace();
const fleet = (ttlMs?: number) =>
  createRedisFleet({ redis: commands, keys, ...(ttlMs && { ttlMs }) });

const announcement = (name: string, changes: Partial<Announcement> = {}): Announcement => ({
  name,
  role: 'worker',
  version: '1',
  host: 'h',
  pid: 1,
  startedAt: 5,
  stage: 'serving',
  counts: { runs: 1 },
  ...changes,
});

/** Subscribes a process to its channel; returns the orders that reach it. */
async function listen(
  name: string,
  role: 'worker' | 'ingress' = 'worker',
  receive?: (order: Order) => void,
) {
  const heard: string[] = [];
  const channels = createRedisChannels({
    keys,
    shards: 2,
    redis: commands,
    connect: () => redis.connect(),
    onError: (error) => heard.push(String(error)),
  });
  const onOrder = (order: Order) => {
    heard.push(order);
    receive?.(order);
  };
  const other = () => heard.push('other');
  const subscription =
    role === 'ingress'
      ? await channels.openInbox(name, { onFrame: other, onGap() {}, onOrder })
      : await channels.openWorker(name, {
          onFinished: other,
          onJobsWaiting: other,
          onGap() {},
          onOrder,
        });
  return { heard, close: () => subscription.close() };
}

test('processes are listed by role and name, with what they announced last', async () => {
  const { announce, list } = fleet();
  await announce(announcement('worker-b'));
  await announce(announcement('worker-a'));
  await announce(announcement('admin-a', { role: 'admin' }));
  await announce(announcement('ingress-z', { role: 'ingress' }));
  await announce(announcement('worker-a', { counts: { runs: 9 }, stage: 'stopping' }));
  const found = await list();
  expect(found.map(({ name }) => name)).toEqual(['ingress-z', 'worker-a', 'worker-b', 'admin-a']);
  expect(found[1]).toEqual({
    ...announcement('worker-a', { counts: { runs: 9 }, stage: 'stopping' }),
    isListening: false,
  });
});

test('a process that no longer announces itself is gone, and one that leaves is gone at once', async () => {
  await fleet(50).announce(announcement('worker-a'));
  const { announce, list, remove } = fleet();
  await announce(announcement('worker-b'));
  await expect.poll(async () => (await list()).map(({ name }) => name)).toEqual(['worker-b']);
  await remove('worker-b');
  expect(await list()).toEqual([]);
});

test('a text that is no announcement is left out', async () => {
  const { announce, list } = fleet();
  await announce(announcement('worker-a'));
  await announce({ name: 'worker-b' } as Announcement);
  expect((await list()).map(({ name }) => name)).toEqual(['worker-a']);
});

test.each(['worker', 'ingress'] as const)(
  'an order reaches a listening %s, and stands until it is taken back',
  async (role) => {
    const { announce, list, send } = fleet();
    const name = `${role}-a`;
    const process = await listen(name, role);
    expect(await announce(announcement(name, { role }))).toBeUndefined();
    expect((await list())[0]?.isListening).toBe(true);
    expect(await send(name, 'drain')).toBe('sent');
    await expect.poll(() => process.heard).toEqual(['drain']);
    expect(await announce(announcement(name, { role }))).toBe('drain');
    expect(await send(name, 'resume')).toBe('sent');
    await expect.poll(() => process.heard).toEqual(['drain', 'resume']);
    expect(await announce(announcement(name, { role }))).toBe('resume');
    await process.close();
  },
);

test('an order to a process that does not listen, does not exist or stops is not kept', async () => {
  const { announce, send } = fleet();
  await announce(announcement('worker-a'));
  expect(await send('worker-a', 'drain')).toBe('gone');
  expect(await send('worker-x', 'drain')).toBe('gone');
  expect(await announce(announcement('worker-a'))).toBeUndefined();
  const process = await listen('worker-a');
  await announce(announcement('worker-a', { stage: 'stopping' }));
  expect(await send('worker-a', 'drain')).toBe('stopping');
  expect(process.heard).toEqual([]);
  await process.close();
});

test('a drained process stays drained when Redis has lost its order', async () => {
  const { announce, list, remove, send } = fleet();
  const stage = async () => (await list())[0]?.stage;
  const lifecycle = createLifecycle();
  lifecycle.advance('serving');
  let announced = 0;
  const presence = startPresence({
    fleet: {
      remove,
      async announce(one) {
        const order = await announce(one);
        announced += 1;
        return order;
      },
    },
    name: 'worker-a',
    role: 'worker',
    lifecycle,
    counts: () => ({}),
    onOrder() {},
    onError() {},
  });
  const process = await listen('worker-a', 'worker', presence.receive);
  await expect.poll(stage).toBe('serving');
  await send('worker-a', 'drain');
  await expect.poll(stage).toBe('draining');
  await commands.del(keys.orders());
  const before = announced;
  presence.changed();
  await expect.poll(() => announced).toBeGreaterThan(before);
  // An order that it applied would have been announced by now.
  presence.changed();
  await expect.poll(() => announced).toBeGreaterThan(before + 1);
  expect(await stage()).toBe('draining');
  await send('worker-a', 'resume');
  await expect.poll(stage).toBe('serving');
  await presence.leave();
  await process.close();
});

test('an order has an end of life from its first write', async () => {
  const { announce, send } = fleet();
  const process = await listen('worker-a');
  await announce(announcement('worker-a'));
  await send('worker-a', 'drain');
  expect(await commands.pttl(keys.orders())).toBeGreaterThan(0);
  await process.close();
});

test('an order whose caller has given up is not sent', async () => {
  const { announce, send } = fleet();
  const process = await listen('worker-a');
  await announce(announcement('worker-a'));
  await expect(send('worker-a', 'drain', AbortSignal.abort())).rejects.toThrow('abort');
  expect(await announce(announcement('worker-a'))).toBeUndefined();
  expect(process.heard).toEqual([]);
  await process.close();
});

test('an announcement fits into a full Redis, and is in no append-only file', async () => {
  const { announce, list } = fleet();
  const offset = async () =>
    Number(/aof_current_size:(\d+)/.exec(await commands.info('persistence'))?.[1]);
  await commands.config('SET', 'maxmemory', '1');
  try {
    const before = await offset();
    await announce(announcement('worker-a'));
    expect((await list()).map(({ name }) => name)).toEqual(['worker-a']);
    expect(await offset()).toBe(before);
  } finally {
    await commands.config('SET', 'maxmemory', '0');
  }
});
