import { describe, expect, it } from 'vitest';
import { judgeDeath, suspectMs } from './poison.ts';
import type { AffectedJob, Death, Fate } from './poison.ts';

/** A job that its worker had just begun. */
const begun = (more: Partial<AffectedJob> = {}): AffectedJob => ({
  id: 'r',
  servedMs: 0,
  hasBegun: true,
  hasShown: false,
  suspected: 0,
  blamed: 0,
  ...more,
});
const streaming = begun({ servedMs: 30_000, hasShown: true });
const thinking = begun({ servedMs: suspectMs });
const unread = begun({ servedMs: undefined, hasBegun: false });
/** Its log was sealed for a worker that may not have read it. */
const taken = (more: Partial<AffectedJob> = {}) => begun({ hasBegun: false, ...more });
const innocents = [streaming, thinking, unread, begun({ hasShown: true })];

const judge = (casualties: readonly AffectedJob[], more: Partial<Death> = {}): Fate[] =>
  judgeDeath(casualties, { cause: 'gone', unexplained: 0, ...more });

describe('At the death of a worker', () => {
  it('jobs that have shown something, run for long or were not read yet go on', () => {
    for (const cause of ['gone', 'hung'] as const) {
      expect(judge(innocents, { cause })).toEqual(innocents.map(() => 'go_on'));
    }
  });

  it('the only job that was just begun is blamed, and fails at the second time', () => {
    expect(judge([...innocents, begun()]).at(-1)).toBe('blamed');
    expect(judge([begun({ blamed: 1 }), ...innocents])[0]).toBe('poisoned');
  });

  it('one that has outlived its worker by a write, in a loop that stood still, is just begun', () => {
    expect(judge([begun({ servedMs: -1400 })], { cause: 'hung' })).toEqual(['blamed']);
  });

  it('several that were just begun are suspected, and kept apart where the worker hung or they were before', () => {
    expect(judge([begun(), begun()])).toEqual(['suspected', 'suspected']);
    expect(judge([begun(), begun()], { cause: 'hung' })).toEqual(['isolated', 'isolated']);
    const before = begun({ suspected: 1 });
    expect(judge([before, before, begun()])).toEqual(['isolated', 'isolated', 'go_on']);
  });

  it('the only one that was taken is kept apart, and fails when it was begun at two more deaths', () => {
    for (const cause of ['gone', 'hung'] as const) {
      expect(judge([...innocents, taken()], { cause }).at(-1)).toBe('isolated');
      expect(judge([taken({ suspected: 1 })], { cause })).toEqual(['isolated']);
    }
    expect(judge([begun({ suspected: 1 })])).toEqual(['blamed']);
    expect(judge([begun({ suspected: 1, blamed: 1 })])).toEqual(['poisoned']);
  });

  it('answers that were unread when the worker hung keep no job apart', () => {
    const batch = Array.from({ length: 16 }, () => taken({ servedMs: -900 }));
    expect(judge(batch, { cause: 'hung' })).toEqual(batch.map(() => 'suspected'));
    expect(judge([taken(), begun()], { cause: 'hung' })).toEqual(['suspected', 'isolated']);
    const again = batch.map((one) => ({ ...one, suspected: 1 }));
    expect(judge(again, { cause: 'hung' })).toEqual(batch.map(() => 'isolated'));
  });

  it('one that was taken for a process that had ended is none of its suspects', () => {
    expect(judge([taken({ servedMs: -1 })])).toEqual(['go_on']);
    expect(judge([taken({ servedMs: -1 }), begun()])).toEqual(['go_on', 'blamed']);
  });

  it('one that was suspected before is to blame, and none that was begun beside it', () => {
    expect(judge([begun(), begun({ suspected: 1 }), begun()])).toEqual([
      'go_on',
      'blamed',
      'go_on',
    ]);
    expect(judge([begun(), begun({ blamed: 1 })])).toEqual(['go_on', 'poisoned']);
  });

  it('a job fails later while workers die without it, and not for the deaths that it was suspected in', () => {
    const fates = (unexplained: number, suspected = 0) =>
      [1, 2, 3, 4].map((blamed) => judge([begun({ blamed, suspected })], { unexplained })[0]);
    expect(fates(1)).toEqual(['blamed', 'poisoned', 'poisoned', 'poisoned']);
    expect(fates(1, 1)).toEqual(['poisoned', 'poisoned', 'poisoned', 'poisoned']);
    expect(fates(9)).toEqual(['blamed', 'blamed', 'blamed', 'poisoned']);
  });

  it('long streams live through any number of deaths', () => {
    const stream = begun({ servedMs: 0, hasShown: true, suspected: 5, blamed: 1 });
    expect(judge([stream], { cause: 'hung' })).toEqual(['go_on']);
  });
});
