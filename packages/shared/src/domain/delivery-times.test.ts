import { expect, test } from 'vitest';
import { DeliveryTimes } from './delivery-times.ts';

/** Reads entries, each with its time and what it has: texts (c) and seams (s). */
function read(times: DeliveryTimes, ...entries: [at: number | undefined, what: string][]) {
  for (const [at, what] of entries) {
    for (const one of what) {
      if (one === 'c') times.delivered();
      else times.resuming();
    }
    times.readAt(at);
  }
  return times;
}

test('a gap is from the last text before a seam to the first behind it, whatever failed in between', () => {
  const times = read(new DeliveryTimes(), [300, 'c'], [700, 'c'], [900, 's'], [5100, 'sc']);
  read(times, [9000, 'c']);
  expect(times).toMatchObject({ firstAt: 300, maxGapMs: 4400, newestAt: 9000 });
  read(times, [9100, 'sc']);
  expect(times.maxGapMs).toBe(4400);
});

test('an answer without a seam has no gap, however slow it is', () => {
  expect(read(new DeliveryTimes(), [300, 'c'], [60_000, 'c']).maxGapMs).toBeUndefined();
});

test('an attempt that begins the answer after one that showed nothing makes no gap', () => {
  const times = read(new DeliveryTimes(), [100, 's'], [500, 'c'], [600, 'c']);
  expect(times).toMatchObject({ firstAt: 500, maxGapMs: undefined });
});

test('what a run writes has the time of the append that wrote it, not that of an earlier try', () => {
  const times = read(new DeliveryTimes(), [1000, 'c']);
  times.resuming();
  times.delivered();
  times.sending();
  times.delivered();
  expect(times.ifSentAt(1150)).toMatchObject({ firstAt: 1000, maxGapMs: 150 });
  expect(times.maxGapMs).toBeUndefined();
  times.sentAt(1788);
  expect(times).toMatchObject({ newestAt: 1788, maxGapMs: 788 });
  times.sending();
  times.sentAt(1900);
  expect(times).toMatchObject({ newestAt: 1900, maxGapMs: 788 });
});

test('an entry without a time, as of an older version, is text of which the time is unknown', () => {
  const times = read(new DeliveryTimes(), [undefined, 'c'], [400, 'sc']);
  expect(times).toMatchObject({ firstAt: undefined, maxGapMs: undefined, newestAt: 400 });
  expect(read(times, [500, 'sc']).maxGapMs).toBe(100);
});
