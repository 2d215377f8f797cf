import type { Config } from '@millrace/shared/config';
import { priorities } from '@millrace/shared/domain/request';
import type { Priority } from '@millrace/shared/domain/request';
import { describe, expect, test } from 'vitest';
import { judgeQueue } from './queue-verdict.ts';
import type { QueueRequest } from './queue-verdict.ts';
import { countOwn, createTargetRates, jobsAhead, waitMs } from './expected-wait.ts';
import type { Load } from './expected-wait.ts';

/** Waiting jobs by class and key, all of weight 1, in turn as the queue places them. */
function load(
  waiting: Partial<Record<Priority, Record<string, number>>>,
  more: Partial<Load> = {},
): Load {
  const classes = priorities.map((priority) => {
    const counts = Object.entries(waiting[priority] ?? {});
    const lags = new Map(counts.map(([key, count]) => [key, count - 1]));
    return [priority, { waiting: counts.reduce((sum, [, count]) => sum + count, 0), lags }];
  });
  return {
    classes: Object.fromEntries(classes) as Load['classes'],
    front: 0,
    bytes: 0,
    skipped: [],
    shards: 1,
    rate: 10,
    limitedRate: undefined,
    weightOf: () => 1,
    ...more,
  };
}

const now = 1_000_000;
const limits = { queueJobs: 100, queueBytes: 1000, queueWaitMs: 5000 };
const request = (
  more: Partial<QueueRequest> & { key?: string; priority?: Priority; bytes?: number } = {},
) => {
  const { key = 'a', priority = 'normal', bytes = 10, ...rest } = more;
  const standing = { key, priority, weight: 1, bytes };
  return {
    standing,
    model: 'm',
    targetRate: undefined,
    isBackground: false,
    deadlineAt: undefined,
    shared: true,
    ...rest,
  };
};
const verdict = (state: Load, asked = request()) => judgeQueue(state, limits, asked, now);

describe('how many are served before', () => {
  const ahead = (state: Load, key: string, priority: Priority = 'normal') =>
    jobsAhead(state, { key, priority, weight: 1 });

  test('is a round of the others, not the backlog of one', () => {
    const state = load({ normal: { flood: 1000, other: 3 } });
    expect(ahead(state, 'new')).toBe(2);
    expect(ahead(state, 'other')).toBe(7);
    expect(ahead(state, 'flood')).toBe(1003);
  });

  test('has all of the classes before it, and what goes in front', () => {
    const state = load({ high: { a: 5 }, normal: { a: 7 }, low: { a: 20 } }, { front: 2 });
    expect(ahead(state, 'new', 'high')).toBe(3);
    expect(ahead(state, 'new')).toBe(8);
    expect(ahead(state, 'a', 'low')).toBe(34);
    expect(ahead(load({}), 'new', 'low')).toBe(0);
  });

  test('counts heavy keys by their weight', () => {
    const state = load({ normal: { heavy: 1 } }, { weightOf: () => 4 });
    expect(jobsAhead(state, { key: 'heavy', priority: 'normal', weight: 4 })).toBe(1);
    // Forty jobs of weight 4 reach ten steps behind the head.
    const lags = new Map([['heavy', 9.75]]);
    const many = { ...state, classes: { ...state.classes, normal: { waiting: 40, lags } } };
    expect(jobsAhead(many, { key: 'heavy', priority: 'normal', weight: 4 })).toBe(40);
    expect(countOwn(many, 'heavy')).toBe(40);
  });

  test('is a time where the rate is known', () => {
    expect(waitMs({ rate: 10 }, 25)).toBe(2500);
    expect(waitMs({ rate: undefined }, 25)).toBeUndefined();
    expect(waitMs({ rate: undefined }, 0)).toBe(0);
  });
});

describe('a request', () => {
  test('is admitted while there is room', () => {
    expect(verdict(load({}))).toEqual({ kind: 'admitted' });
    expect(verdict(load({ normal: { b: 40 } }))).toEqual({ kind: 'admitted' });
    expect(verdict(load({ normal: { a: 40 } }, { rate: undefined }))).toEqual({ kind: 'admitted' });
  });

  test('is refused when as many wait as may, until one has been taken', () => {
    const full = load({ normal: { a: 50, b: 50 } }, { rate: 0.25 });
    expect(verdict(full, request({ key: 'c' }))).toMatchObject({
      kind: 'shed',
      reason: 'jobs',
      own: false,
      retryAfterMs: 4000,
    });
    // Never at once, and where the rate is not known soon.
    expect(verdict({ ...full, rate: 1000 })).toMatchObject({ retryAfterMs: 1000 });
    expect(verdict({ ...full, rate: undefined })).toMatchObject({ retryAfterMs: 2000 });
  });

  test('is refused when those that wait hold as much as they may', () => {
    const state = load({ normal: { b: 1 } }, { bytes: 995 });
    expect(verdict(state)).toMatchObject({ kind: 'shed', reason: 'bytes' });
    expect(verdict(state, request({ bytes: 5 })).kind).toBe('admitted');
    expect(verdict(load({}), request({ bytes: 5000 })).kind).toBe('admitted');
  });

  test('is refused when its key holds as much as it leaves to the others, which are admitted', () => {
    const state = load({ normal: { a: 50 } }, { rate: undefined });
    expect(verdict(state)).toMatchObject({ kind: 'shed', reason: 'share', own: true });
    expect(verdict(state, request({ key: 'b' })).kind).toBe('admitted');
    // Who is alone has the whole queue.
    expect(verdict(state, request({ shared: false })).kind).toBe('admitted');
  });

  test('is refused when it would wait too long, and is told when it would not', () => {
    const state = load({ high: { b: 80 } });
    expect(verdict(state)).toEqual({
      kind: 'shed',
      reason: 'wait',
      own: false,
      retryAfterMs: 3000,
      expectedWaitMs: 8000,
    });
    expect(verdict(state, request({ isBackground: true })).kind).toBe('admitted');
    expect(verdict(state, request({ priority: 'high' })).kind).toBe('admitted');
  });

  test('is refused on its own account when only its own are in the way', () => {
    const slow = load({ normal: { a: 10 } }, { rate: 1 });
    expect(verdict(slow)).toMatchObject({ reason: 'wait', own: true, expectedWaitMs: 10_000 });
    expect(verdict(slow, request({ key: 'b' })).kind).toBe('admitted');
    expect(verdict(slow, request({ shared: false }))).toMatchObject({ own: false });
  });

  test('is refused when it could not start before its deadline, however patient', () => {
    const state = load({ high: { b: 30 } });
    const late = request({ deadlineAt: now + 2000, isBackground: true });
    expect(verdict(state, late)).toMatchObject({
      reason: 'deadline',
      retryAfterMs: 1000,
      expectedWaitMs: 3000,
    });
    expect(verdict(state, request({ deadlineAt: now + 3001 })).kind).toBe('admitted');
    expect(verdict({ ...state, rate: undefined }, late).kind).toBe('admitted');
  });
});

test('a request is not told the wait of models that are passed over, but for one of them', () => {
  const state = load({ normal: { other: 500 } }, { limitedRate: 1, skipped: ['full'] });
  const roomy = { ...limits, queueJobs: 10_000 };
  const behind = (more: Partial<QueueRequest>) =>
    judgeQueue(state, roomy, { ...request({ key: 'other' }), shared: false, ...more }, now);
  expect(behind({ model: 'free' })).toEqual({ kind: 'admitted' });
  expect(behind({ model: 'free', deadlineAt: now + 1000 })).toEqual({ kind: 'admitted' });
  expect(behind({ model: 'full' })).toMatchObject({ kind: 'shed', expectedWaitMs: 500_000 });
});

describe("the first minute at a model's limit, before its pace has been measured", () => {
  const state = load({ normal: { a: 9 } }, { skipped: ['full'], limitedRate: undefined });
  const asked = (targetRate: number | undefined) => request({ model: 'full', targetRate });

  test('is estimated from the limits of its targets', () => {
    expect(verdict(state, asked(1))).toMatchObject({
      kind: 'shed',
      reason: 'wait',
      expectedWaitMs: 9000,
    });
    expect(verdict(state, asked(3))).toEqual({ kind: 'admitted' });
  });

  test('is unknown without such limits, and then nothing is refused for it', () => {
    expect(verdict(state, asked(undefined))).toEqual({ kind: 'admitted' });
  });

  test.each([
    ['the sum of its targets', { p: 60, q: 30 }, ['p', 'q'], 1.5],
    ['a target once, however often it is listed', { p: 60 }, ['p', 'p'], 1],
    ['no limit if one of them has none', { p: 60, q: undefined }, ['p', 'q'], undefined],
  ])('counts %s', (_, limits: Record<string, number | undefined>, listed, rate) => {
    const targets = listed.map((provider) => {
      const requestsPerMinute = limits[provider];
      const own = requestsPerMinute === undefined ? {} : { limits: { requestsPerMinute } };
      return { provider, model: 'm', weight: 1, ...own };
    });
    const models = { full: { targets } } as unknown as Config['models'];
    expect(createTargetRates(() => models)('full')).toBe(rate);
  });

  test('a limit that another model configures for the same target holds, and a new config counts at once', () => {
    const target = { provider: 'p', model: 'm', weight: 1 };
    const limited = (requestsPerMinute: number) => ({
      full: { targets: [target] },
      other: { targets: [{ ...target, limits: { requestsPerMinute } }] },
    });
    let models = limited(60) as unknown as Config['models'];
    const rateOf = createTargetRates(() => models);
    expect(rateOf('full')).toBe(1);
    models = limited(120) as unknown as Config['models'];
    expect(rateOf('full')).toBe(2);
    expect(rateOf('none')).toBeUndefined();
  });
});
