import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fault } from '../continuation/history.fixture.ts';
import { freePermit } from '../upstream/target-access.fixture.ts';
import { newRace, raceStep } from './race-state.ts';
import type { AttemptStep, Cause, RaceEffect, RaceEvent, RaceState } from './race-state.ts';

const stepAt = (provider: string): AttemptStep => ({
  kind: 'attempt',
  route: { provider, model: 'm', prefill: false },
  mode: 'start',
  delayMs: 0,
});
const backup = stepAt('backup');
const broken = fault('upstream_reset');

/** The state after these events, and the effects of the last one. */
function after(events: readonly RaceEvent[], isAborted = false) {
  let state = newRace(false);
  let effects: readonly RaceEffect[] = [];
  for (const event of events) [state, effects] = raceStep(state, event, isAborted);
  return { state, effects };
}

const started = (contender: number): RaceEvent => ({ kind: 'started', contender });
const late = (contender: number): RaceEvent => ({ kind: 'late', contender });
const failed = (contender: number): RaceEvent => ({ kind: 'failed', contender, fault: broken });
const planned = (cause: Cause = 'late', step?: AttemptStep): RaceEvent => ({
  kind: 'planned',
  cause,
  step,
});
const permitted = (cause: Cause = 'late', permit?: typeof freePermit): RaceEvent => ({
  kind: 'permitted',
  cause,
  step: backup,
  permit,
});
const hedging = [started(1), late(1), planned('late', backup)];

describe('another attempt', () => {
  it('is planned when every contender is late, and not before', () => {
    expect(after([started(1), late(1)]).effects).toEqual([{ kind: 'plan', cause: 'late' }]);
    expect(after([started(1), started(2), late(1)]).effects).toEqual([]);
  });

  it('follows a failed contender before it hedges a late one', () => {
    const { state, effects } = after([started(1), started(2), failed(2), late(1)]);
    expect(effects).toEqual([{ kind: 'plan', cause: broken }]);
    expect(raceStep(state, planned(broken), false)[1]).toEqual([{ kind: 'plan', cause: 'late' }]);
  });

  it('is not planned while the log takes nothing, and is when it does again', () => {
    const { state, effects } = after([started(1), { kind: 'paused' }, late(1)]);
    expect(effects).toEqual([]);
    expect(raceStep(state, { kind: 'resumed' }, false)[1]).toEqual([
      { kind: 'plan', cause: 'late' },
    ]);
  });

  it('is not planned beside one that starts', () => {
    expect(after([...hedging, late(1)]).effects).toEqual([]);
  });

  it('does not start in a run that was stopped: its permit and its hedge go back', () => {
    const { state } = after(hedging);
    expect(raceStep(state, permitted('late', freePermit), true)[1]).toEqual([
      { kind: 'cancel', permit: freePermit },
      { kind: 'return_hedge' },
    ]);
  });
});

describe('a target that takes no request', () => {
  it('is asked once more, and never again', () => {
    const once = after([...hedging, permitted()]);
    expect(once.effects).toEqual([{ kind: 'return_hedge' }, { kind: 'plan', cause: 'late' }]);
    const twice = after([...hedging, permitted(), planned('late', backup), permitted()]);
    expect(twice.effects).toEqual([{ kind: 'return_hedge' }]);
  });

  it('ends the race with the last fault where the others ended in the meantime', () => {
    expect(after([...hedging, failed(1)]).effects).toEqual([]);
    expect(after([...hedging, failed(1), permitted()]).effects).toEqual([
      { kind: 'return_hedge' },
      { kind: 'settle', outcome: { kind: 'fault', fault: broken } },
    ]);
  });
});

describe('a contender that commits', () => {
  it('ends all pauses and stops the others', () => {
    expect(after([started(1), started(2), { kind: 'committed', contender: 2 }]).effects).toEqual([
      { kind: 'end_pauses' },
      { kind: 'stop', except: 2, reason: 'superseded' },
    ]);
  });

  it('is followed by no other one, even if it fails', () => {
    const { effects } = after([...hedging, { kind: 'committed', contender: 1 }, failed(1)]);
    expect(effects).toEqual([{ kind: 'settle', outcome: { kind: 'fault', fault: broken } }]);
  });
});

it('a bug in the end of the last contender settles the race', () => {
  const { effects } = after([started(1), { kind: 'crashed', ended: 1 }]);
  expect(effects).toContainEqual({
    kind: 'settle',
    outcome: { kind: 'fault', fault: expect.objectContaining({ code: 'internal_error' }) },
  });
});

/** What a driver can do at a time, by numbers that choose among what is possible then. */
type Choice = { what: number; which: number; works: boolean };

/** Plays the driver of a race: every effect is carried out, and contenders do what the choices say. */
function play(choices: readonly Choice[]) {
  let state: RaceState = newRace(false);
  let next = 0;
  let isAborted = false;
  const running = new Set<number>();
  const requests: { step: AttemptStep; cause: Cause }[] = [];
  const seen = { permits: 0, started: 0, cancelled: 0, hedges: 0, hedgesStarted: 0, returned: 0 };
  let settled = 0;
  let canPlan = true;

  function start(cause?: Cause): void {
    expect(state.phase, 'no attempt starts in a decided race').not.toBe('decided');
    next += 1;
    running.add(next);
    if (cause === 'late') seen.hedgesStarted += 1;
    dispatch(started(next));
  }

  function dispatch(event: RaceEvent): void {
    const cause = event.kind === 'permitted' ? event.cause : undefined;
    const [after, effects] = raceStep(state, event, isAborted);
    state = after;
    for (const effect of effects) {
      switch (effect.kind) {
        case 'plan': {
          expect([...state.isLate.values()]).not.toContain(false);
          const step = canPlan ? stepAt(`p${next % 3}`) : undefined;
          if (step && effect.cause === 'late') seen.hedges += 1;
          dispatch({ kind: 'planned', cause: effect.cause, step });
          break;
        }
        case 'request':
          requests.push(effect);
          expect(requests.length, 'one starts at a time').toBe(1);
          break;
        case 'start':
          seen.started += 1;
          start(cause);
          break;
        case 'cancel':
          seen.cancelled += 1;
          break;
        case 'return_hedge':
          seen.returned += 1;
          break;
        case 'settle':
          settled += 1;
          break;
        case 'end_pauses':
        case 'stop':
      }
    }
  }

  function answer(works: boolean): void {
    const request = requests.shift();
    if (!request) return;
    if (works) seen.permits += 1;
    const { step, cause } = request;
    dispatch({ kind: 'permitted', step, cause, permit: works ? freePermit : undefined });
  }

  const pick = (which: number) => [...running][which % Math.max(1, running.size)];
  start();
  for (const { what, which, works } of choices) {
    canPlan = works;
    const contender = pick(which);
    if (what === 0) answer(works);
    else if (what === 1) dispatch({ kind: works ? 'paused' : 'resumed' });
    else if (what === 2 && which === 0) isAborted = true;
    else if (contender === undefined) continue;
    else if (what === 3) dispatch(late(contender));
    else if (what === 4 && state.phase !== 'decided') dispatch({ kind: 'committed', contender });
    else {
      running.delete(contender);
      dispatch(isAborted ? { kind: 'aborted', contender } : failed(contender));
    }
  }
  for (const contender of running) {
    running.delete(contender);
    dispatch(isAborted ? { kind: 'aborted', contender } : failed(contender));
  }
  canPlan = false;
  while (requests.length > 0) answer(false);
  return { seen, settled, running, state };
}

it('whatever contenders do, a race settles, and gives back every permit and hedge that it does not use', () => {
  const choice = fc.record({ what: fc.nat(6), which: fc.nat(4), works: fc.boolean() });
  fc.assert(
    fc.property(fc.array(choice, { maxLength: 40 }), (choices) => {
      const { seen, settled, running, state } = play(choices);
      expect(running.size).toBe(0);
      expect(state.isLate.size).toBe(0);
      expect(settled).toBeGreaterThan(0);
      expect(seen.started + seen.cancelled).toBe(seen.permits);
      expect(seen.hedgesStarted + seen.returned).toBe(seen.hedges);
    }),
    { numRuns: 2000 },
  );
});
