import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Order } from '../../domain/order.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { Announcement } from './port.ts';
import { announceEveryMs, startPresence } from './presence.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A process whose announcements wait until `reply` answers the oldest of them. */
function start() {
  const waiting: ((order: Order | undefined) => void)[] = [];
  const errors: unknown[] = [];
  const announced: Announcement[] = [];
  const orders: Order[] = [];
  const removed: string[] = [];
  const lifecycle = createLifecycle();
  lifecycle.advance('serving');
  const presence = startPresence({
    fleet: {
      announce: (announcement) => {
        announced.push(announcement);
        return new Promise((resolve) => waiting.push(resolve));
      },
      async remove(name) {
        removed.push(name);
      },
    },
    name: 'worker-1',
    role: 'worker',
    lifecycle,
    counts: () => ({ runs: 3 }),
    onOrder: (order) => orders.push(order),
    onError: (error) => errors.push(error),
  });
  const reply = async (order?: Order) => {
    waiting.shift()?.(order);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { presence, lifecycle, announced, orders, removed, errors, reply };
}

const pass = (times = 1) => vi.advanceTimersByTimeAsync(times * announceEveryMs);

test('a process announces itself at once, and then every few seconds', async () => {
  const { announced, reply } = start();
  await reply('resume');
  await pass();
  await reply('resume');
  await pass();
  expect(announced).toHaveLength(3);
});

test('during an outage of Redis one announcement waits', async () => {
  const { announced } = start();
  await pass(10);
  expect(announced).toHaveLength(1);
});

test('an order is applied once, and the process announces what it does at once', async () => {
  const { presence, announced, orders, reply } = start();
  await reply('resume');
  presence.receive('drain');
  presence.receive('drain');
  expect(orders).toEqual(['drain']);
  await reply('drain');
  expect(announced.map(({ stage }) => stage)).toEqual(['serving', 'draining']);
  presence.receive('resume');
  expect(orders).toEqual(['drain', 'resume']);
});

test('a process that stops says so, whatever was ordered', async () => {
  const { presence, lifecycle, announced, reply } = start();
  await reply('drain');
  await reply('drain');
  lifecycle.advance('draining');
  presence.changed();
  const stages = announced.map(({ stage }) => stage);
  expect(stages).toEqual(['serving', 'draining', 'stopping']);
  expect(announced[0]).toMatchObject({ name: 'worker-1', role: 'worker', counts: { runs: 3 } });
});

test('an order whose message was lost is applied with the next announcement', async () => {
  const { orders, reply } = start();
  await reply('resume');
  await pass();
  await reply('drain');
  expect(orders).toEqual(['drain']);
});

test('an order that Redis has lost still stands', async () => {
  const { presence, orders, announced, reply } = start();
  await reply();
  presence.receive('drain');
  await reply('drain');
  await pass();
  await reply();
  await pass();
  expect(orders).toEqual(['drain']);
  expect(announced.at(-1)?.stage).toBe('draining');
});

test('a reply that is older than a message does not undo its order', async () => {
  const { presence, orders, announced, reply } = start();
  // The announcement reached Redis before the order did, and its reply comes behind the message.
  presence.receive('drain');
  await reply('resume');
  expect(orders).toEqual(['drain']);
  expect(announced).toHaveLength(2);
  await reply('drain');
  expect(orders).toEqual(['drain']);
});

test('a process that leaves is removed behind its last announcement, and takes no more orders', async () => {
  const { presence, orders, removed, reply } = start();
  const left = presence.leave();
  await pass(2);
  expect(removed).toEqual([]);
  await reply('drain');
  await left;
  presence.receive('drain');
  expect(removed).toEqual(['worker-1']);
  expect(orders).toEqual([]);
});
