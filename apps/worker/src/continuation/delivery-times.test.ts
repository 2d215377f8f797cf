import { expect, test } from 'vitest';
import { DeliveryTimes } from './delivery-times.ts';

test('the pause of a rescue is counted from the last delivered text, whatever failed in between', () => {
  const times = new DeliveryTimes(false, 0);
  times.delivered(300);
  times.delivered(700);
  times.resuming();
  times.delivered(5100);
  times.delivered(9000);
  expect(times).toMatchObject({ firstAt: 300, maxGapMs: 4400 });
  times.resuming();
  times.delivered(9100);
  expect(times.maxGapMs).toBe(4400);
});

test('an answer without a rescue has no pause, however slow it is', () => {
  const times = new DeliveryTimes(false, 0);
  times.delivered(300);
  times.delivered(60_000);
  expect(times.maxGapMs).toBeUndefined();
});

test('a run that takes an answer over does not know its first text, and counts the pause from its start', () => {
  const times = new DeliveryTimes(true, 1000);
  times.resuming();
  times.delivered(1150);
  expect(times).toMatchObject({ firstAt: undefined, maxGapMs: 150 });
});

test('a beginning after a failed attempt of which nothing was delivered is no rescue', () => {
  const times = new DeliveryTimes(false, 0);
  times.resuming();
  times.delivered(500);
  times.delivered(600);
  expect(times).toMatchObject({ firstAt: 500, maxGapMs: undefined });
});
