import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nothingSeen, policy as defaults } from './breaker.fixture.ts';
import {
  admits,
  closed,
  judge,
  maxRetryAfterMs,
  probeEnded,
  probeLostMs,
  probing,
} from './breaker.ts';
import type { BreakerState, Evidence } from './breaker.ts';

const policies = fc.record({
  enabled: fc.constant(true),
  windowMs: fc.constant(30_000),
  calls: fc.integer({ min: 2, max: 100 }),
  errorRate: fc.integer({ min: 1, max: 100 }),
  failures: fc.integer({ min: 2, max: 20 }),
  probeIntervalMs: fc.integer({ min: 10, max: 20_000 }),
  rampMs: fc.integer({ min: 0, max: 20_000 }),
});

const fractions = fc.double({ min: 0, max: 0.999_999, noNaN: true });

/** What happens next to one target in a fleet, and how long after the last thing. */
const steps = fc.array(
  fc.record({
    afterMs: fc.integer({ min: 0, max: 6000 }),
    random: fractions,
    act: fc.oneof(
      fc.record({ kind: fc.constant('ask' as const) }),
      fc.record({
        kind: fc.constant('probe ends' as const),
        end: fc.constantFrom('ok' as const, 'failed' as const, 'void' as const),
        retryAfterMs: fc.option(fc.integer({ min: 1, max: 200_000 }), { nil: undefined }),
      }),
      fc.record({ kind: fc.constant('failures' as const), row: fc.integer({ min: 1, max: 30 }) }),
    ),
  }),
  { maxLength: 80 },
);

describe('whatever happens to a target', () => {
  test('there are never two probes at once, and they keep their distance', () => {
    fc.assert(
      fc.property(policies, steps, (policy, happenings) => {
        let now = 1_000_000;
        let state: BreakerState = closed;
        let underWay: number | undefined;
        let attemptedAt = -Infinity;
        const wrong: string[] = [];
        for (const { afterMs, random, act } of happenings) {
          now += afterMs;
          // As the facade counts: failures of a target that is not asked are of the time before.
          const counts = state.kind === 'closed' || state.kind === 'recovering';
          const row = counts && act.kind === 'failures' ? act.row : 0;
          const seen: Evidence = { ...nothingSeen, row, errors: row, calls: row };
          const before = state;
          state = judge(state, seen, policy, now, () => random);
          if (before.kind !== 'open' && state.kind === 'open') attemptedAt = now;

          if (act.kind === 'ask' && (state.kind === 'open' || state.kind === 'half-open')) {
            const verdict = admits(state, policy, now, () => random);
            if (verdict === 'yes') wrong.push('a request of no probe was let through');
            const isLost = underWay !== undefined && now >= underWay + probeLostMs;
            if (underWay !== undefined && !isLost && verdict !== 'no') wrong.push('two probes');
            if (verdict === 'ask' && state.kind === 'half-open') {
              // Neither near the probe before nor near the failure that opened it.
              if (now - attemptedAt < policy.probeIntervalMs) wrong.push('too soon');
              attemptedAt = now;
              underWay = now;
              state = probing(state, 'worker', now);
            }
          }
          if (act.kind === 'probe ends' && underWay !== undefined) {
            underWay = undefined;
            const { end, retryAfterMs } = act;
            const retryAt = retryAfterMs === undefined ? undefined : now + retryAfterMs;
            state = probeEnded(state, { kind: end }, retryAt, policy, now, () => random);
          }
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('it is closed again in time when its probes succeed', () => {
    fc.assert(
      fc.property(
        policies,
        fc.integer({ min: 0, max: 100 }),
        fc.option(fc.integer({ min: 1, max: 200_000 }), { nil: undefined }),
        fractions,
        (policy, failedProbes, retryAfterMs, random) => {
          const start = 1_000_000;
          let now = start;
          const row = { ...nothingSeen, row: policy.failures };
          let state = judge(closed, row, policy, now, () => random);
          for (let i = 0; i <= failedProbes; i++) {
            expect(state.kind).toBe('open');
            if (state.kind === 'open') now = state.until;
            state = judge(state, nothingSeen, policy, now, () => random);
            if (state.kind === 'half-open') state = probing(state, 'worker', now);
            const retryAt = retryAfterMs && now + retryAfterMs;
            if (i < failedProbes) {
              state = probeEnded(state, { kind: 'failed' }, retryAt, policy, now, () => random);
            }
          }
          // From the last failure on: at most four intervals or the provider's wish, and the ramp.
          const last = judge(closed, row, policy, now, () => random);
          expect(last.kind).toBe('open');
          const failed = probeEnded(
            state,
            { kind: 'failed' },
            retryAfterMs && now + retryAfterMs,
            policy,
            now,
            () => random,
          );
          const longest = Math.max(
            4 * policy.probeIntervalMs,
            Math.min(retryAfterMs ?? 0, maxRetryAfterMs),
          );
          const askedAt = now + longest;
          let next = judge(failed, nothingSeen, policy, askedAt, () => random);
          expect(admits(next, policy, askedAt, () => random)).toBe('ask');
          if (next.kind === 'half-open') next = probing(next, 'worker', askedAt);
          next = probeEnded(next, { kind: 'ok' }, undefined, policy, askedAt, () => random);
          next = judge(next, nothingSeen, policy, askedAt + policy.rampMs, () => random);
          expect(next).toBe(closed);
        },
      ),
    );
  });

  test('a single failure in light traffic never opens it', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 19 }), fractions, (policy, calls, usual) => {
        fc.pre(calls < policy.calls);
        const seen = { ...nothingSeen, calls, errors: 1, row: 1, usualRate: usual };
        expect(judge(closed, seen, policy, 0, Math.random)).toBe(closed);
      }),
    );
    expect(
      judge(closed, { ...nothingSeen, calls: 1, errors: 1, row: 1 }, defaults, 0, () => 0),
    ).toBe(closed);
  });
});
