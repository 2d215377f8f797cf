import type { QueueStanding } from '@millrace/shared/domain/request';
import type { QueueStats } from '@millrace/shared/domain/queue-stats';
import { afterEach, expect, test } from 'vitest';
import { createLoadMeter } from './load-meter.ts';
import type { LoadMeter } from './load-meter.ts';

let meter: LoadMeter;
afterEach(() => meter.stop());

const none = { waiting: 0, lags: new Map<string, number>() };
const looked = (waiting: number): QueueStats => ({
  classes: { high: none, normal: { waiting, lags: new Map([['old', 2]]) }, low: none },
  front: 0,
  active: 0,
  bytes: 100,
  taken: 0,
  overdue: [],
  skipped: [],
});
const standing = (key: string): QueueStanding => ({
  priority: 'normal',
  key,
  weight: 2,
  bytes: 10,
});

/** A meter whose looks are answered by the test. */
async function start(first: QueueStats) {
  let answer = Promise.withResolvers<QueueStats>();
  meter = createLoadMeter({
    look: () => answer.promise,
    shards: 1,
    weightOf: () => 1,
    onOverdue() {},
    onError: (error) => {
      throw error;
    },
  });
  answer.resolve(first);
  await expect.poll(() => meter.read()).toBeDefined();
  return (next: QueueStats) => {
    answer.resolve(next);
    answer = Promise.withResolvers();
    answer.resolve(next);
  };
}
const normal = () => meter.read()?.classes.normal;

test('one that is on its way counts as waiting, and no more when it did not come in', async () => {
  await start(looked(3));
  const back = ['new', 'new', 'old'].map((key) => meter.add(standing(key)));
  expect(normal()).toEqual({
    waiting: 6,
    lags: new Map([
      ['old', 2.5],
      ['new', 0.5],
    ]),
  });
  expect(meter.read()?.bytes).toBe(130);
  for (const { remove } of back) remove();
  expect(normal()).toEqual({ waiting: 3, lags: new Map([['old', 2]]) });
  expect(meter.read()?.bytes).toBe(100);
});

test('while none wait it does not wait either, and is not taken out again', async () => {
  await start(looked(0));
  const { remove } = meter.add(standing('new'));
  expect(normal()?.waiting).toBe(0);
  remove();
  expect(normal()?.waiting).toBe(0);
  expect(meter.read()?.bytes).toBe(100);
});

test('of a burst into an empty queue, those that found no free slot count before the next reading', async () => {
  await start(looked(0));
  const burst = ['a', 'a', 'b'].map((key) => meter.add(standing(key)));
  for (const { placed } of burst.slice(1)) placed(true);
  expect(normal()?.waiting).toBe(2);
  expect([...(normal()?.lags ?? [])].slice(-2)).toEqual([
    ['a', 0],
    ['b', 0],
  ]);
  // Said twice, it counts once.
  burst[1]?.placed(true);
  expect(normal()?.waiting).toBe(2);
});

test('one that a worker got at once does not wait, also while others do', async () => {
  await start(looked(3));
  const { placed, remove } = meter.add(standing('new'));
  expect(normal()?.waiting).toBe(4);
  placed(false);
  expect(normal()?.waiting).toBe(3);
  remove();
  expect(normal()?.waiting).toBe(3);
});

test('what a later look did not have is not taken out of it', async () => {
  const seen = await start(looked(3));
  const counted = meter.add(standing('new'));
  seen(looked(7));
  await expect.poll(() => normal()?.waiting).toBe(7);
  counted.placed(false);
  counted.remove();
  expect(normal()?.waiting).toBe(7);
});
