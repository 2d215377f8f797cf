import { faultTable } from '@millrace/shared/domain/fault';
import type { FaultCode } from '@millrace/shared/domain/fault';
import { describe, expect, it } from 'vitest';
import { ended, fault, historyOf, plainTraits, said, started } from './history.fixture.ts';
import type { History } from './history.ts';
import type { Route } from './plan.ts';
import { backup, decide, stepsOf, primary, third } from './plan.fixture.ts';

/* Before anything was shown: which target is asked, when, and what the client is told. */

describe('the first attempt', () => {
  it('goes to the first target', () => {
    expect(decide()).toEqual({ kind: 'attempt', route: primary, mode: 'start', delayMs: 0 });
  });

  it('is not made without any target', () => {
    expect(decide({ routes: [] })).toMatchObject({
      kind: 'fail',
      failed: {
        error: { code: 'provider_not_configured', type: 'upstream_error' },
        httpStatus: 502,
      },
    });
  });

  it('is not made once the deadline has passed', () => {
    expect(decide({ deadlineAt: 5001 }).kind).toBe('attempt');
    expect(decide({ deadlineAt: 5000 })).toMatchObject({
      kind: 'fail',
      failed: { error: { code: 'deadline_exceeded' }, httpStatus: 504 },
    });
  });
});

describe('by cost', () => {
  const routes = [primary, backup, third];
  const failedAt = (...targets: Route[]) =>
    historyOf(
      ...targets.flatMap((target, at) => [
        started(at + 1, target),
        ended(at + 1, 'upstream_timeout'),
      ]),
    );
  const next = (history: History, byCost: boolean) =>
    decide({ routes, history, byCost, fault: fault('upstream_timeout') });

  it('the cheapest target that has not failed is next, and not the one behind the last', () => {
    expect(next(failedAt(backup), true)).toMatchObject({ route: primary });
    expect(next(failedAt(backup), false)).toMatchObject({ route: third });
    expect(next(failedAt(backup, primary), true)).toMatchObject({ route: third });
  });

  it('an answer that has begun goes on at the cheapest one that has not failed', () => {
    const history = historyOf(
      started(1, backup),
      said('Hello'),
      ended(1, 'upstream_timeout', 1500),
    );
    expect(next(history, true)).toMatchObject({ route: primary, mode: 'replay' });
    expect(next(history, false)).toMatchObject({ route: third, mode: 'continue' });
  });
});

describe('after the death of a worker that had shown nothing', () => {
  it('the next target is asked, and after the last one the first', () => {
    expect(stepsOf({ history: historyOf(started(1, primary)) }, [])).toEqual(['backup start']);
    expect(stepsOf({ history: historyOf(started(1, backup)) }, [])).toEqual(['primary start']);
  });

  it('a single target is asked again', () => {
    const history = historyOf(started(1, primary));
    expect(stepsOf({ routes: [primary], history }, [])).toEqual(['primary start']);
  });

  it('targets of one provider are told apart by their model', () => {
    const mini = { ...primary, model: 'gpt-4o-mini' };
    const history = historyOf(started(1, primary));
    const step = decide({ routes: [mini, primary, backup], history });
    expect(step).toMatchObject({ route: backup });
  });

  it('the first target is asked when the one in flight is not configured any more', () => {
    const history = historyOf(started(1, { provider: 'gone', model: 'x' }));
    expect(stepsOf({ history }, [])).toEqual(['primary start']);
  });

  it('the target that it had asked has not failed: it is asked when the next one does', () => {
    const history = historyOf(started(1, primary));
    const events: FaultCode[] = ['upstream_timeout', 'upstream_timeout'];
    expect(stepsOf({ history }, events)).toEqual([
      'backup start',
      'primary start',
      'fail upstream_timeout',
    ]);
  });

  it('and the log says that its worker was lost, it is the same', () => {
    const history = historyOf(started(1, primary), ended(1, 'worker_lost'));
    const events: FaultCode[] = ['upstream_timeout', 'upstream_timeout'];
    expect(stepsOf({ history }, events)).toEqual([
      'backup start',
      'primary start',
      'fail upstream_timeout',
    ]);
  });

  it('one that handed its attempt over is followed by the same target', () => {
    const history = historyOf(started(1, primary), ended(1, 'handed_over'));
    expect(stepsOf({ history }, [])).toEqual(['primary start']);
  });
});

describe('a fault before anything was shown', () => {
  it('S01: a 429 with Retry-After is followed by the same target, not before its time', () => {
    const busy = fault('upstream_rate_limited', { retryAfterMs: 2000 });
    expect(stepsOf({ random: 0 }, [busy])).toEqual(['primary start', 'primary start +2000']);
    expect(stepsOf({ random: 1 }, [busy])).toEqual(['primary start', 'primary start +2200']);
  });

  it('Retry-After beyond three seconds sends us elsewhere at once', () => {
    const busy = (retryAfterMs: number) => fault('upstream_rate_limited', { retryAfterMs });
    expect(stepsOf({ random: 0 }, [busy(3000)])).toEqual(['primary start', 'primary start +3000']);
    expect(stepsOf({ random: 0 }, [busy(3001)])).toEqual(['primary start', 'backup start']);
  });

  it('S02: a 429 every time is asked again after pauses that grow, then the next target', () => {
    const events: FaultCode[] = Array.from({ length: 3 }, () => 'upstream_rate_limited');
    expect(stepsOf({ random: 1 }, events)).toEqual([
      'primary start',
      'primary start +400',
      'primary start +800',
      'backup start',
    ]);
  });

  it('S03: a 500 is asked again once, then the next target', () => {
    const events: FaultCode[] = ['upstream_server_error', 'upstream_server_error'];
    expect(stepsOf({ random: 1 }, events)).toEqual([
      'primary start',
      'primary start +400',
      'backup start',
    ]);
  });

  it('S04: a 503 everywhere is six attempts in all', () => {
    const events: FaultCode[] = Array.from({ length: 6 }, () => 'upstream_overloaded');
    expect(stepsOf({ random: 0 }, events)).toEqual([
      'primary start',
      'primary start',
      'primary start',
      'backup start',
      'backup start',
      'backup start',
      'fail upstream_overloaded',
    ]);
  });

  it('S05: a reset is asked again at once', () => {
    expect(stepsOf({}, ['upstream_reset', 'upstream_reset'])).toEqual([
      'primary start',
      'primary start',
      'backup start',
    ]);
  });

  it('S06: a target that stays silent is not asked again', () => {
    expect(stepsOf({}, ['upstream_first_token_timeout'])).toEqual([
      'primary start',
      'backup start',
    ]);
  });

  it('S12: a context that is too long goes to the next target at once', () => {
    expect(stepsOf({}, ['context_length_exceeded', 'context_length_exceeded'])).toEqual([
      'primary start',
      'backup start',
      'fail context_length_exceeded',
    ]);
  });

  it.each(['content_filtered', 'upstream_rejected'] as const)(
    'S13: %s goes to the client at once, as the provider said it',
    (code) => {
      const error = { message: 'No.', type: 'x', param: null, code: 'y' };
      const told = fault(code, { httpStatus: 422, error });
      const history = historyOf(started(1, primary), ended(1, code));
      expect(decide({ history, fault: told })).toEqual({
        kind: 'fail',
        code,
        failed: { error, httpStatus: 422 },
      });
    },
  );

  it('is counted by its kind: another one at the same target has retries of its own', () => {
    expect(stepsOf({ random: 0 }, ['upstream_reset', 'upstream_server_error'])).toEqual([
      'primary start',
      'primary start',
      'primary start',
    ]);
  });

  it('of the earlier of two attempts side by side is not taken for one of the later', () => {
    const history = historyOf(
      started(1, primary),
      started(2, backup),
      ended(2, 'upstream_timeout'),
      ended(1, 'upstream_reset'),
    );
    expect(stepsOf({ history, fault: fault('upstream_reset') }, [])).toEqual(['primary start']);
  });

  it('no pause is begun that would outlast the deadline', () => {
    const busy = fault('upstream_rate_limited', { retryAfterMs: 2000 });
    const history = historyOf(started(1, primary), ended(1, busy.code));
    const at = (deadlineAt: number) => decide({ history, fault: busy, deadlineAt, random: 0 });
    expect(at(7001)).toMatchObject({ kind: 'attempt', delayMs: 2000 });
    expect(at(7000)).toMatchObject({ failed: { error: { code: 'deadline_exceeded' } } });
  });

  it('ten calls are all that a request may have', () => {
    const routes = Array.from({ length: 20 }, (_, i) => ({ ...backup, provider: `p${i}` }));
    const events: FaultCode[] = Array.from({ length: 20 }, () => 'upstream_timeout');
    const words = stepsOf({ routes }, events);
    expect(words).toHaveLength(11);
    expect(words.at(-1)).toBe('fail upstream_timeout');
  });

  // An operator's move is none of a target's faults: it needs another target, and is refused without one.
  const faults = (Object.keys(faultTable) as FaultCode[]).filter((code) => code !== 'moved');

  it.each(faults)('%s comes to an end at one target', (code) => {
    const events = Array.from({ length: 9 }, () => code);
    const words = stepsOf({ routes: [primary], random: 0 }, events);
    const attempts = words.filter((word) => word === 'primary start').length;
    expect(attempts).toBe(1 + faultTable[code].again);
    expect(words.at(-1)).toMatch(/^fail /);
  });
});

describe('the time of a request', () => {
  // Its first attempt began at 1000, as the log says, whichever worker made it.
  const history = historyOf(started(1, primary), ended(1, 'upstream_overloaded'));
  const busy = fault('upstream_overloaded');
  const at = (now: number, more = {}) =>
    decide({ history, fault: busy, timeoutMs: 60_000, random: 0, now, ...more });

  it('is that of all its attempts together, from the first one on', () => {
    expect(at(60_999)).toMatchObject({ kind: 'attempt', route: primary });
    expect(at(61_000)).toMatchObject({
      failed: {
        error: {
          code: 'upstream_timeout',
          message: "The request took longer than its model's timeout.",
        },
        httpStatus: 504,
      },
    });
  });

  it('begins with the first attempt, not while it waited for one', () => {
    expect(decide({ timeoutMs: 10, now: 1e12 }).kind).toBe('attempt');
  });

  it('ends no later than the deadline, and says which of them it was', () => {
    const code = (deadlineAt: number) =>
      at(61_000, { deadlineAt, history: historyOf(started(1, primary)) });
    expect(code(60_999)).toMatchObject({ failed: { error: { code: 'deadline_exceeded' } } });
    expect(code(61_001)).toMatchObject({ failed: { error: { code: 'upstream_timeout' } } });
  });

  it('is not spent on a pause that outlasts it', () => {
    const asked = fault('upstream_overloaded', { retryAfterMs: 1000 });
    expect(at(59_999, { fault: asked })).toMatchObject({ kind: 'attempt', delayMs: 1000 });
    expect(at(60_000, { fault: asked })).toMatchObject({
      failed: { error: { code: 'upstream_timeout' } },
    });
  });
});

describe('the clear end', () => {
  const history = historyOf(started(1, primary), ended(1, 'upstream_timeout'));

  it('has the code and status of the last fault, where nothing was shown', () => {
    const step = decide({ routes: [primary], history, fault: fault('upstream_timeout') });
    expect(step).toEqual({
      kind: 'fail',
      code: 'upstream_timeout',
      failed: {
        error: {
          message: 'It was upstream_timeout.',
          type: 'upstream_error',
          param: null,
          code: 'upstream_timeout',
        },
        httpStatus: 504,
      },
    });
  });

  it("has the provider's own error, status and Retry-After", () => {
    const error = { message: 'Slow down', type: 'rate_limit', param: 'x', code: 'rate_limited' };
    const busy = fault('upstream_rate_limited', { httpStatus: 429, error, retryAfterMs: 9000 });
    const step = decide({ routes: [primary], history, fault: busy });
    expect(step).toEqual({
      kind: 'fail',
      code: 'upstream_rate_limited',
      failed: { error, httpStatus: 429, retryAfterMs: 9000 },
      lacksCapacity: true,
    });
  });
});

it('the same situation gives the same step, and is not changed', () => {
  const history = historyOf(started(1, primary), ended(1, 'upstream_reset'));
  const before = structuredClone(history);
  const situation = { history, fault: fault('upstream_reset'), traits: plainTraits };
  expect(decide({ ...situation, routes: [third] })).toEqual(
    decide({ ...situation, routes: [third] }),
  );
  expect(history).toEqual(before);
});
