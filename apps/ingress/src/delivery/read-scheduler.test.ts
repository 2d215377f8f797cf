import { expect, test } from 'vitest';
import { createReadScheduler, readsAtOnce } from './read-scheduler.ts';
import type { ReadScheduler } from './read-scheduler.ts';

/** Readers as the relay has them: each asks before it reads, and again before it gives lines. */
function createReaders(scheduler: ReadScheduler, count: number) {
  const reading: number[] = [];
  const readers = Array.from({ length: count }, (_, i) => {
    const scheduled = scheduler.add(read);
    function read() {
      if (scheduled.hasRoom()) reading.push(i);
    }
    return {
      open() {
        scheduled.opening();
        read();
      },
      scheduled,
    };
  });
  return { readers, reading };
}

const nextTick = () => new Promise((resolve) => setImmediate(resolve));

test('a few read at a time, the others in the order in which they came', async () => {
  const scheduler = createReadScheduler(() => true);
  const { readers, reading } = createReaders(scheduler, 20);
  for (const { open } of readers) open();
  expect(reading).toEqual([0, 1, 2, 3].slice(0, readsAtOnce));
  expect(scheduler.waiting).toBe(20 - readsAtOnce);
  // The answers come in another order.
  for (const i of [3, 0]) {
    expect(readers[i]?.scheduled.hasRoom()).toBe(true);
    await nextTick();
  }
  expect(reading.slice(readsAtOnce)).toEqual([4, 5]);
  while (scheduler.waiting > 0) {
    for (const i of reading.slice(-readsAtOnce)) readers[i]?.scheduled.hasRoom();
    await nextTick();
  }
  expect(reading).toEqual(readers.map((_, i) => i));
});

test('none reads without room, and each reads again what it could not give', async () => {
  let room = true;
  const scheduler = createReadScheduler(() => room);
  const { readers, reading } = createReaders(scheduler, 10);
  for (const { open } of readers) open();
  room = false;
  for (const i of [0, 1, 2, 3]) expect(readers[i]?.scheduled.hasRoom()).toBe(false);
  await nextTick();
  expect(reading).toHaveLength(readsAtOnce);
  expect(scheduler.waiting).toBe(10);
  scheduler.schedule();
  expect(reading).toHaveLength(readsAtOnce);
  room = true;
  scheduler.schedule();
  expect(reading.slice(readsAtOnce)).toEqual([4, 5, 6, 7]);
});

test('the room that the lines of one took is known before the next one reads', async () => {
  let room = true;
  const scheduler = createReadScheduler(() => room);
  const { readers, reading } = createReaders(scheduler, readsAtOnce + 1);
  for (const { open } of readers) open();
  expect(readers[0]?.scheduled.hasRoom()).toBe(true);
  // Its lines are given in this moment.
  room = false;
  await nextTick();
  expect(reading).toHaveLength(readsAtOnce);
});

test('lines that come live take no turn', () => {
  const scheduler = createReadScheduler(() => true);
  const { readers, reading } = createReaders(scheduler, readsAtOnce);
  for (const { open } of readers) open();
  const live = scheduler.add(() => {});
  for (let i = 0; i < 100; i += 1) expect(live.hasRoom()).toBe(true);
  expect(reading).toHaveLength(readsAtOnce);
  expect(scheduler.waiting).toBe(0);
});

test('a reader that leaves gives back its turn, or its position in the queue', async () => {
  const scheduler = createReadScheduler(() => true);
  const { readers, reading } = createReaders(scheduler, 7);
  for (const { open } of readers) open();
  readers[4]?.scheduled.remove();
  readers[1]?.scheduled.remove();
  readers[1]?.scheduled.remove();
  await nextTick();
  expect(reading).toEqual([0, 1, 2, 3, 5]);
});

test('a turn that was given is kept until the relay asks, however late that is', async () => {
  let room = false;
  const scheduler = createReadScheduler(() => room);
  const late: (() => boolean)[] = [];
  for (let i = 0; i < 10; i += 1) {
    const scheduled = scheduler.add(() => late.push(scheduled.hasRoom));
    scheduled.opening();
    expect(scheduled.hasRoom()).toBe(false);
  }
  room = true;
  scheduler.schedule();
  scheduler.schedule();
  expect(late).toHaveLength(readsAtOnce);
  // They read, and give what they read.
  for (const mayContinue of [...late, ...late]) expect(mayContinue()).toBe(true);
  await nextTick();
  expect(late).toHaveLength(2 * readsAtOnce);
  // Without room by then, they wait again.
  room = false;
  for (const mayContinue of late.slice(readsAtOnce)) expect(mayContinue()).toBe(false);
  await nextTick();
  expect(scheduler.waiting).toBe(10 - readsAtOnce);
});
