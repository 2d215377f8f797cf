import { describe, expect, test } from 'vitest';
import { nothingSeen, policy } from './breaker.fixture.ts';
import {
  admits,
  checkedWell,
  closed,
  judge,
  maxRetryAfterMs,
  nextChangeAt,
  probeEnded,
  probeLostMs,
  probing,
} from './breaker.ts';
import type { BreakerState, Evidence } from './breaker.ts';

const noLuck = () => 0;
const judged = (state: BreakerState, seen: Partial<Evidence>, now = 0, rules = policy) =>
  judge(state, { ...nothingSeen, ...seen }, rules, now, noLuck);

const halfOpen = { kind: 'half-open', times: 1, cause: 'calls', probe: undefined } as const;
const probed = probing(halfOpen, 'one', 1000);
const recovering = { kind: 'recovering', since: 0, times: 1 } as const;

describe('a closed breaker', () => {
  test('opens after so many failures in a row', () => {
    expect(judged(closed, { row: 4, calls: 4, errors: 4 })).toBe(closed);
    expect(judged(closed, { row: 5, calls: 5, errors: 5 }, 100)).toEqual({
      kind: 'open',
      until: 1100,
      times: 1,
      cause: 'calls',
    });
  });

  test('opens when more calls fail than usual, by more than the points of the policy', () => {
    expect(judged(closed, { calls: 20, errors: 2 }).kind).toBe('closed');
    expect(judged(closed, { calls: 20, errors: 3 }).kind).toBe('open');
    expect(judged(closed, { calls: 20, errors: 7, usualRate: 0.25 }).kind).toBe('closed');
    expect(judged(closed, { calls: 20, errors: 8, usualRate: 0.25 }).kind).toBe('open');
  });

  test('does not judge the rate of a few calls', () => {
    expect(judged(closed, { calls: 19, errors: 15 }).kind).toBe('closed');
  });

  test('opens by active checks too, and says so', () => {
    expect(judged(closed, { checkRow: 4, calls: 4, errors: 4 })).toBe(closed);
    const state = judged(closed, { checkRow: 5, calls: 5, errors: 5 });
    expect(state).toMatchObject({ kind: 'open', cause: 'checks' });
    expect(judged(closed, { row: 1, checkRow: 4, calls: 5, errors: 5 })).toMatchObject({
      cause: 'calls',
    });
  });

  test('waits no less than its interval, whatever is at random', () => {
    const seen = { ...nothingSeen, row: 5 };
    expect(judge(closed, seen, policy, 0, () => 0.99)).toMatchObject({ until: 1000 });
  });

  test('waits as long as the provider wished, within a bound', () => {
    expect(judged(closed, { row: 5, retryAt: 20_000 })).toMatchObject({ until: 20_000 });
    expect(judged(closed, { row: 5, retryAt: 500 })).toMatchObject({ until: 1000 });
    expect(judged(closed, { row: 5, retryAt: 1e9 })).toMatchObject({ until: maxRetryAfterMs });
  });

  test('that is switched off never opens', () => {
    const off = { ...policy, enabled: false };
    expect(judged(closed, { row: 50, calls: 50, errors: 50 }, 0, off)).toBe(closed);
    expect(judged(probed, {}, 0, off)).toBe(closed);
  });
});

describe('an open breaker', () => {
  const open = { kind: 'open', until: 1000, times: 1, cause: 'calls' } as const;

  test('lets nobody through before its time, and then one who asks', () => {
    expect(judged(open, {}, 999)).toBe(open);
    expect(admits(open, policy, 999, noLuck)).toBe('no');
    expect(nextChangeAt(open, policy, 0)).toBe(1000);
    const next = judged(open, {}, 1000);
    expect(next).toEqual(halfOpen);
    expect(admits(next, policy, 1000, noLuck)).toBe('ask');
    expect(nextChangeAt(next, policy, 1000)).toBeUndefined();
  });
});

describe('a half-open breaker', () => {
  const end = (kind: 'ok' | 'failed' | 'void', now: number, random = noLuck) =>
    probeEnded(probed, { kind }, undefined, policy, now, random);

  test('lets nobody else through while a probe is under way, unless it is lost', () => {
    expect(admits(probed, policy, 1000 + probeLostMs - 1, noLuck)).toBe('no');
    expect(nextChangeAt(probed, policy, 1000)).toBe(1000 + probeLostMs);
    expect(admits(probed, policy, 1000 + probeLostMs, noLuck)).toBe('ask');
  });

  test('recovers with a good probe', () => {
    expect(end('ok', 1300)).toEqual({ kind: 'recovering', since: 1300, times: 1 });
  });

  test('opens for longer with each failed probe, up to four intervals', () => {
    const waits = [1, 2, 3, 4, 50].map((times) => {
      const state = { ...probed, times } as BreakerState;
      const next = probeEnded(state, { kind: 'failed' }, undefined, policy, 0, noLuck);
      return next.kind === 'open' && [next.times, next.until];
    });
    expect(waits).toEqual([
      [2, 2000],
      [3, 4000],
      [4, 4000],
      [5, 4000],
      [51, 4000],
    ]);
    const lucky = end('failed', 0, () => 0.999_999);
    expect(lucky.kind === 'open' && Math.round(lucky.until)).toBe(1500);
  });

  test('waits as long as the provider wished after a failed probe', () => {
    expect(probeEnded(probed, { kind: 'failed' }, 30_000, policy, 0, noLuck)).toMatchObject({
      until: 30_000,
    });
  });

  test('tries again an interval after a probe that told nothing', () => {
    expect(end('void', 1200)).toEqual({ kind: 'open', until: 2000, times: 1, cause: 'calls' });
    expect(end('void', 9000)).toMatchObject({ until: 9000 });
  });

  test('recovers by a light check only when nothing else than checks had failed', () => {
    expect(checkedWell(halfOpen, policy, 5)).toBe(halfOpen);
    const byChecks = { ...halfOpen, cause: 'checks' } as const;
    expect(checkedWell(byChecks, policy, 5)).toEqual({ kind: 'recovering', since: 5, times: 1 });
    const busy = probing(byChecks, 'one', 0);
    expect(checkedWell(busy, policy, 5)).toBe(busy);
  });

  test('does not care for the end of a probe that is not there', () => {
    expect(probeEnded(halfOpen, { kind: 'ok' }, undefined, policy, 0, noLuck)).toBe(halfOpen);
    expect(probeEnded(closed, { kind: 'failed' }, undefined, policy, 0, noLuck)).toBe(closed);
  });
});

describe('a recovering breaker', () => {
  const passes = (now: number, random: number) =>
    admits(recovering, policy, now, () => random) === 'yes';

  test('lets through a share that grows from a tenth to all', () => {
    expect([passes(0, 0.099), passes(0, 0.101)]).toEqual([true, false]);
    expect([passes(1500, 0.549), passes(1500, 0.551)]).toEqual([true, false]);
    expect(passes(2999, 0.999)).toBe(true);
  });

  test('lets those who were refused ask again at every tenth of its time', () => {
    expect(nextChangeAt(recovering, policy, 0)).toBe(300);
    expect(nextChangeAt(recovering, policy, 299)).toBe(300);
    expect(nextChangeAt(recovering, policy, 300)).toBe(600);
    expect(nextChangeAt(recovering, policy, 2950)).toBe(3000);
  });

  test('is closed after its time', () => {
    expect(judged(recovering, { calls: 50 }, 2999)).toBe(recovering);
    expect(judged(recovering, { calls: 50 }, 3000)).toBe(closed);
    expect(judged(recovering, {}, 0, { ...policy, rampMs: 0 })).toBe(closed);
  });

  test('opens again with one failure, and for longer', () => {
    expect(judged(recovering, { calls: 30, errors: 1, row: 1 }, 500)).toEqual({
      kind: 'open',
      until: 2500,
      times: 2,
      cause: 'calls',
    });
  });

  test('bears the failures that its target has on good days', () => {
    const usualRate = 0.05;
    expect(judged(recovering, { calls: 100, errors: 9, usualRate }, 500)).toBe(recovering);
    expect(judged(recovering, { calls: 100, errors: 12, usualRate }, 500).kind).toBe('open');
  });
});
