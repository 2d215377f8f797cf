import type { FaultCode } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import { ended, fault, historyOf, said, started } from './history.fixture.ts';
import { behindCurtain, journey, primary } from './next.fixture.ts';
import type { Event } from './next.fixture.ts';

/* After a part of the answer was shown: when the same rung is tried again at the same target. */

const long = 'It was shown already, and it is long enough to be found again by its last words.';

/** The primary spoke and broke off. */
const from = () => ({
  history: historyOf(started(1, primary), said(long), ended(1, 'upstream_reset')),
  fault: fault('upstream_reset'),
});

describe('the rungs', () => {
  it('are tried again in the same way where the target was only busy', () => {
    const events: Event[] = ['upstream_overloaded', 'upstream_overloaded', 'upstream_overloaded'];
    expect(journey({ ...from(), random: 1 }, events)).toEqual([
      'backup anchor',
      'backup anchor +400',
      'backup anchor +800',
      'primary replay',
    ]);
  });

  it('are not tried again at a target that broke off in the middle of one, where there is another', () => {
    const events = Array.from({ length: 9 }, () => behindCurtain('upstream_reset'));
    expect(journey(from(), events)).toEqual([
      'backup anchor',
      'primary replay',
      'backup replay',
      'primary anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('of a single target that broke off have one repeat in all', () => {
    const events = Array.from({ length: 9 }, () => behindCurtain('upstream_reset'));
    expect(journey({ ...from(), routes: [primary] }, events)).toEqual([
      'primary replay',
      'primary replay',
      'primary anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });

  it('have the repeats of a busy target in common, whatever it says each time', () => {
    const busy: FaultCode[] = ['upstream_overloaded', 'upstream_reset', 'upstream_overloaded'];
    const events: Event[] = Array.from({ length: 12 }, (_, i) => busy[i % 3] ?? 'upstream_reset');
    const words = journey({ ...from(), random: 0 }, events);
    expect(words).toEqual([
      'backup anchor',
      'backup anchor',
      'primary replay',
      'primary replay',
      'primary replay',
      'backup replay',
      'primary anchor',
      'fail upstream_failed_mid_stream',
    ]);
  });
});
