import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StoreSilent, watchOutage } from './outage.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const refused = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

function open() {
  const lines: unknown[] = [];
  const state = { ready: true };
  const say = (fields: unknown, msg?: string) => void lines.push({ ...(fields as object), msg });
  const logger = { warn: say, info: say };
  return { lines, state, outage: watchOutage({ logger, isReady: () => state.ready }) };
}

test('however many notice that Redis is away, there is one line, and one when it is back', async () => {
  const { lines, state, outage } = open();
  state.ready = false;
  outage.lost();
  for (let i = 0; i < 50; i++) expect(outage.note(refused())).toBe(true);
  expect(outage.note(new Error('Connection is closed.'))).toBe(true);
  expect(outage.note(new Error('LOADING Redis is loading the dataset in memory'))).toBe(true);
  expect(outage.note(new StoreSilent('leases: the store is silent'))).toBe(true);
  outage.lost();
  await vi.advanceTimersByTimeAsync(7000);
  state.ready = true;
  outage.back();
  outage.back();
  await vi.advanceTimersByTimeAsync(1000);
  expect(lines).toEqual([
    { msg: 'Redis is away', reason: undefined },
    { msg: 'Redis is back', awayMs: 7000, errors: 53 },
  ]);
  // What waited since then runs out a little later; the same much later is something else.
  expect(outage.note(new StoreSilent('leases: the store is silent'))).toBe(true);
  expect(outage.note(refused())).toBe(true);
  expect(lines).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(outage.note(new StoreSilent('leases: the store is silent'))).toBe(false);
});

test('another connection that breaks is told of once, and ends by itself', async () => {
  const { lines, outage } = open();
  outage.note(refused());
  outage.note(refused());
  await vi.advanceTimersByTimeAsync(1000);
  expect(lines).toMatchObject([
    { msg: 'Redis is away', reason: 'ECONNREFUSED' },
    { msg: 'Redis is back', errors: 2 },
  ]);
});

test('a bug is none, also while Redis is away', () => {
  const { outage } = open();
  outage.lost();
  expect(outage.note(new TypeError('x is undefined'))).toBe(false);
  expect(outage.note('text')).toBe(false);
});

test('a Redis that refuses commands for long is one outage, over when it refuses no more', async () => {
  const { lines, outage } = open();
  for (let i = 0; i < 100; i++) {
    outage.note(new Error('MISCONF Errors writing to the AOF file: No space left on device'));
    await vi.advanceTimersByTimeAsync(300);
  }
  expect(lines).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(lines).toMatchObject([
    { msg: 'Redis is away', reason: expect.stringContaining('No space left') },
    { msg: 'Redis is back', errors: 100 },
  ]);
});

test('a replica without its primary, which takes connections and refuses commands, is one outage', async () => {
  const { lines, state, outage } = open();
  for (let i = 0; i < 50; i++) {
    state.ready = true;
    outage.back();
    await vi.advanceTimersByTimeAsync(60);
    outage.note(new Error("READONLY You can't write against a read only replica."));
    state.ready = false;
    outage.lost();
    await vi.advanceTimersByTimeAsync(40);
  }
  expect(outage.reason).toMatch(/^READONLY/);
  expect(lines).toHaveLength(1);
  state.ready = true;
  outage.back();
  await vi.advanceTimersByTimeAsync(1000);
  expect(outage.reason).toBeUndefined();
  expect(lines).toMatchObject([{ msg: 'Redis is away' }, { msg: 'Redis is back' }]);
});

test('a Redis that stands and does not answer is one outage, until waits no longer run out', async () => {
  const { lines, outage } = open();
  const silent = () => outage.note(new StoreSilent('leases: the store is silent'));
  // A single one may be a slow command.
  expect(silent()).toBe(false);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(silent()).toBe(false);
  for (let second = 0; second < 20; second += 1) {
    await vi.advanceTimersByTimeAsync(1000);
    expect(silent()).toBe(true);
  }
  expect(lines).toEqual([{ msg: 'Redis is away', reason: 'it does not answer' }]);
  await vi.advanceTimersByTimeAsync(3000);
  expect(lines.slice(1)).toEqual([{ msg: 'Redis is back', awayMs: 19_000, errors: 20 }]);
});
