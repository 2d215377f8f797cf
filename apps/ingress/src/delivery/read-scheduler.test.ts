import { expect, test } from 'vitest';
import { createReadTurns, readsAtOnce } from './read-scheduler.ts';
import type { ReadTurns } from './read-scheduler.ts';

/** Readers as the relay has them: each asks before it reads, and again before it gives lines. */
function createReaders(turns: ReadTurns, count: number) {
  const reading: number[] = [];
  const readers = Array.from({ length: count }, (_, i) => {
    const turn = turns.join(read);
    function read() {
      if (turn.hasRoom()) reading.push(i);
    }
    return {
      open() {
        turn.opening();
        read();
      },
      turn,
    };
  });
  return { readers, reading };
}

const soon = () => new Promise((resolve) => setImmediate(resolve));

test('a few read at a time, the others in the order in which they came', async () => {
  const turns = createReadTurns(() => true);
  const { readers, reading } = createReaders(turns, 20);
  for (const { open } of readers) open();
  expect(reading).toEqual([0, 1, 2, 3].slice(0, readsAtOnce));
  expect(turns.waiting).toBe(20 - readsAtOnce);
  // The answers come in another order.
  for (const i of [3, 0]) {
    expect(readers[i]?.turn.hasRoom()).toBe(true);
    await soon();
  }
  expect(reading.slice(readsAtOnce)).toEqual([4, 5]);
  while (turns.waiting > 0) {
    for (const i of reading.slice(-readsAtOnce)) readers[i]?.turn.hasRoom();
    await soon();
  }
  expect(reading).toEqual(readers.map((_, i) => i));
});

test('none reads without room, and each reads again what it could not give', async () => {
  let room = true;
  const turns = createReadTurns(() => room);
  const { readers, reading } = createReaders(turns, 10);
  for (const { open } of readers) open();
  room = false;
  for (const i of [0, 1, 2, 3]) expect(readers[i]?.turn.hasRoom()).toBe(false);
  await soon();
  expect(reading).toHaveLength(readsAtOnce);
  expect(turns.waiting).toBe(10);
  turns.goOn();
  expect(reading).toHaveLength(readsAtOnce);
  room = true;
  turns.goOn();
  expect(reading.slice(readsAtOnce)).toEqual([4, 5, 6, 7]);
});

test('the room that the lines of one took is known before the next one reads', async () => {
  let room = true;
  const turns = createReadTurns(() => room);
  const { readers, reading } = createReaders(turns, readsAtOnce + 1);
  for (const { open } of readers) open();
  expect(readers[0]?.turn.hasRoom()).toBe(true);
  // Its lines are given in this moment.
  room = false;
  await soon();
  expect(reading).toHaveLength(readsAtOnce);
});

test('lines that come live take no turn', () => {
  const turns = createReadTurns(() => true);
  const { readers, reading } = createReaders(turns, readsAtOnce);
  for (const { open } of readers) open();
  const live = turns.join(() => {});
  for (let i = 0; i < 100; i += 1) expect(live.hasRoom()).toBe(true);
  expect(reading).toHaveLength(readsAtOnce);
  expect(turns.waiting).toBe(0);
});

test('who leaves gives back its turn, or its place among those that wait', async () => {
  const turns = createReadTurns(() => true);
  const { readers, reading } = createReaders(turns, 7);
  for (const { open } of readers) open();
  readers[4]?.turn.leave();
  readers[1]?.turn.leave();
  readers[1]?.turn.leave();
  await soon();
  expect(reading).toEqual([0, 1, 2, 3, 5]);
});

test('a turn that was given is kept until the relay asks, however late that is', async () => {
  let room = false;
  const turns = createReadTurns(() => room);
  const late: (() => boolean)[] = [];
  for (let i = 0; i < 10; i += 1) {
    const turn = turns.join(() => late.push(turn.hasRoom));
    turn.opening();
    expect(turn.hasRoom()).toBe(false);
  }
  room = true;
  turns.goOn();
  turns.goOn();
  expect(late).toHaveLength(readsAtOnce);
  // They read, and give what they read.
  for (const ask of [...late, ...late]) expect(ask()).toBe(true);
  await soon();
  expect(late).toHaveLength(2 * readsAtOnce);
  // Without room by then, they wait again.
  room = false;
  for (const ask of late.slice(readsAtOnce)) expect(ask()).toBe(false);
  await soon();
  expect(turns.waiting).toBe(10 - readsAtOnce);
});
