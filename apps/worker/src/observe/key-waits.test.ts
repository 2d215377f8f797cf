import { describe, expect, test } from 'vitest';
import { createKeyWaits, jainIndex, maxNamedKeys, otherKeys } from './key-waits.ts';

const clock = () => {
  const at = { now: 1_000_000 };
  return { at, waits: createKeyWaits(() => at.now) };
};
const long = 5000;

describe('the wait of keys', () => {
  test('is summed by key', () => {
    const { waits } = clock();
    waits.add({ key: 'a', weight: 1, ms: 1500 });
    waits.add({ key: 'a', weight: 1, ms: 500 });
    waits.add({ key: 'b', weight: 1, ms: -20 });
    expect([...waits.totals()]).toEqual([
      ['a', { started: 2, seconds: 2 }],
      ['b', { started: 1, seconds: 0 }],
    ]);
  });

  test('has a bounded number of labels, whose totals never fall', () => {
    const { waits } = clock();
    for (let i = 0; i < maxNamedKeys + 30; i++) {
      waits.add({ key: `key-${i}`, weight: 1, ms: 1000 });
      waits.add({ key: 'key-0', weight: 1, ms: 0 });
    }
    const totals = new Map(waits.totals());
    expect(totals.size).toBe(maxNamedKeys + 1);
    expect(totals.get(otherKeys)).toEqual({ started: 30, seconds: 30 });
    expect(totals.get('key-0')?.started).toBe(maxNamedKeys + 31);
  });
});

describe('the fairness index', () => {
  test.each([
    [[], 1],
    [[7], 1],
    [[3, 3, 3], 1],
    [[1, 0, 0, 0], 0.25],
    [[4, 2], 0.9],
    [[0, 0], 1],
  ])('of %j is %d', (values, index) => {
    expect(jainIndex(values)).toBeCloseTo(index, 9);
  });

  test('is 1 if each key gets by its weight, and falls if one gets more', () => {
    const { waits } = clock();
    for (let i = 0; i < 3; i++) waits.add({ key: 'heavy', weight: 3, ms: long });
    waits.add({ key: 'light', weight: 1, ms: long });
    expect(waits.fairness()).toBe(1);
    for (let i = 0; i < 6; i++) waits.add({ key: 'heavy', weight: 3, ms: long });
    expect(waits.fairness()).toBeCloseTo(0.8, 9);
  });

  test('leaves out keys that hardly wait, because they have all that they asked for', () => {
    const { waits } = clock();
    for (let i = 0; i < 50; i++) waits.add({ key: 'busy', weight: 1, ms: long });
    waits.add({ key: 'rare', weight: 1, ms: 20 });
    expect(waits.fairness()).toBe(1);
  });

  test('forgets what is older than a minute', () => {
    const { at, waits } = clock();
    for (let i = 0; i < 9; i++) waits.add({ key: 'a', weight: 1, ms: long });
    waits.add({ key: 'b', weight: 1, ms: long });
    expect(waits.fairness()).toBeLessThan(0.7);
    at.now += 70_000;
    expect(waits.fairness()).toBe(1);
  });
});
