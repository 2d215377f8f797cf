import type { FaultCode } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import { ended, fault, historyOf, said, started } from './history.fixture.ts';
import { backup, beforeSeam, stepsOf, primary, third } from './plan.fixture.ts';
import type { Event } from './plan.fixture.ts';

/* After a part of the answer was shown: when the same strategy is tried again at the same target. */

const long = 'It was shown already, and it is long enough to be found again by its last words.';

/** The primary spoke and broke off. */
const from = () => ({
  history: historyOf(started(1, primary), said(long), ended(1, 'upstream_reset')),
  fault: fault('upstream_reset'),
});

describe('the strategies', () => {
  const busy = (times: number): Event[] =>
    Array.from({ length: times }, () => 'upstream_overloaded');

  it('are tried again in the same way where the target was only busy', () => {
    expect(stepsOf({ ...from(), routes: [primary], random: 1 }, busy(3))).toEqual([
      'primary replay',
      'primary replay +400',
      'primary replay +800',
      'primary anchor',
    ]);
  });

  it('wait for a busy target only when no other one is left to go on', () => {
    const routes = [primary, backup, third];
    expect(stepsOf({ ...from(), routes, random: 1 }, busy(2))).toEqual([
      'backup anchor',
      'third continue',
      'primary replay',
    ]);
    expect(stepsOf({ ...from(), random: 1 }, busy(6))).toEqual([
      'backup anchor',
      'primary replay',
      'primary replay +400',
      'primary replay +800',
      // The strategy that was only busy then.
      'backup anchor +400',
      'backup anchor +800',
      'primary anchor',
    ]);
  });

  it('wait for no target that asks for a pause while another one may go on', () => {
    const pause = fault('upstream_rate_limited', { retryAfterMs: 2500 });
    expect(stepsOf(from(), [pause])).toEqual(['backup anchor', 'primary replay']);
  });

  it('are not tried again at a target that broke off in the middle of one, where there is another', () => {
    const events = Array.from({ length: 9 }, () => beforeSeam('upstream_reset'));
    expect(stepsOf(from(), events)).toEqual([
      'backup anchor',
      'primary replay',
      'backup replay',
      'primary anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('of a single target that broke off have one repeat in all', () => {
    const events = Array.from({ length: 9 }, () => beforeSeam('upstream_reset'));
    expect(stepsOf({ ...from(), routes: [primary] }, events)).toEqual([
      'primary replay',
      'primary replay',
      'primary anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('have the repeats of a busy target in common, whatever it says each time', () => {
    const busy: FaultCode[] = ['upstream_overloaded', 'upstream_reset', 'upstream_overloaded'];
    const events: Event[] = Array.from({ length: 12 }, (_, i) => busy[i % 3] ?? 'upstream_reset');
    const words = stepsOf({ ...from(), random: 0 }, events);
    expect(words).toEqual([
      'backup anchor',
      'primary replay',
      'primary replay',
      'primary replay',
      'backup anchor',
      'primary anchor',
      'backup replay',
      'fail upstream_failed_mid_stream',
    ]);
  });
});

describe('a target that refused a key', () => {
  const limited = fault('upstream_rate_limited', { retryAfterMs: 60_000 });

  it('is asked with its other key at once, and not instead of the backup when it has none', () => {
    const otherKey = [primary];
    expect(stepsOf({ otherKey }, [limited])).toEqual(['primary start', 'primary start']);
    expect(stepsOf({ otherKey }, ['upstream_auth_failed'])).toEqual([
      'primary start',
      'primary start',
    ]);
    expect(stepsOf({}, [limited])).toEqual(['primary start', 'backup start']);
  });

  it('goes on in the same way when it was to continue an answer', () => {
    const routes = [primary, third];
    const words = stepsOf({ ...from(), routes, otherKey: [third] }, [limited]);
    expect(words).toEqual(['third continue', 'third continue']);
  });
});
