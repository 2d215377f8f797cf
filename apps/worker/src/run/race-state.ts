import type { Fault } from '@millrace/shared/domain/fault';
import type { NextStep, Route } from '../continuation/plan.ts';
import type { Permit } from '../upstream/target-access.ts';
import { ourFault } from './failed-attempt.ts';

/*
 * The rules of a race, pure: which attempts may run side by side, which are stopped, and when the race is over.
 *
 *            an attempt commits, or completes the answer, or a bug
 *   open ─────────────────────────────────────────────────────────▶ decided
 *    │ ▲                                                               ▲
 *    │ └─ it has started, or its target refused ─┐                     │
 *    └──────── another attempt is due ──────▶ starting ────────────────┘
 */

export type AttemptStep = Extract<NextStep, { kind: 'attempt' }>;

/** How one step ended. */
export type RaceOutcome =
  /** The answer is whole. */
  | { kind: 'completed' }
  /** Every attempt of it failed: the last one's fault. */
  | { kind: 'fault'; fault: Fault }
  /** The run was stopped. */
  | { kind: 'aborted' };

/** Why another attempt starts: one failed, or a first token is late. */
export type Cause = Fault | 'late';

/** Contenders are identified by a number. */
export type RaceState = {
  phase: 'open' | 'starting' | 'decided';
  /** Running contenders, and whether the first token of each is late. */
  isLate: ReadonlyMap<number, boolean>;
  /** Faults of contenders that failed while others ran, for which no other attempt has started yet. */
  openFaults: readonly Fault[];
  /** A first token has become late since the last hedge. */
  hedgeIsDue: boolean;
  /** Targets that have refused a permit once. */
  refusedOnce: ReadonlySet<Route>;
  /** The writer is under backpressure. */
  isPaused: boolean;
};

export type RaceEvent =
  | { kind: 'started'; contender: number }
  | { kind: 'late'; contender: number }
  | { kind: 'committed'; contender: number }
  /** The stop of the run ended the contender. */
  | { kind: 'aborted'; contender: number }
  /** The contender has completed the answer. */
  | { kind: 'completed'; contender: number }
  | { kind: 'failed'; contender: number; fault: Fault }
  /** The result of `plan`. */
  | { kind: 'planned'; cause: Cause; step: AttemptStep | undefined }
  /** The result of `request`: undefined if the target takes no request now. */
  | { kind: 'permitted'; cause: Cause; step: AttemptStep; permit: Permit | undefined }
  | { kind: 'paused' }
  | { kind: 'resumed' }
  /** A bug while an effect was carried out. `ended`: the contender whose end it affected. */
  | { kind: 'crashed'; ended?: number | undefined };

export type RaceEffect =
  /** Asks for the step of another attempt. */
  | { kind: 'plan'; cause: Cause }
  /** Waits for the pause of the step, then asks its target for a permit. */
  | { kind: 'request'; cause: Cause; step: AttemptStep }
  | { kind: 'start'; step: AttemptStep; permit: Permit }
  | { kind: 'cancel'; permit: Permit }
  /** The hedge does not start. */
  | { kind: 'return_hedge' }
  /** Ends the pauses of steps that have not started. */
  | { kind: 'end_pauses' }
  | { kind: 'stop'; except?: number; reason: Fault | 'superseded' }
  | { kind: 'settle'; outcome: RaceOutcome };

type Next = [RaceState, readonly RaceEffect[]];

export const newRace = (isPaused: boolean): RaceState => ({
  phase: 'open',
  isLate: new Map(),
  openFaults: [],
  hedgeIsDue: false,
  refusedOnce: new Set(),
  isPaused,
});

export const noContinuation: Fault = {
  code: 'no_continuation',
  message: 'The answer broke off, and no other attempt went on with it.',
};

/** `isAborted`: the run was stopped, so it makes no more calls. */
export function raceStep(state: RaceState, event: RaceEvent, isAborted: boolean): Next {
  switch (event.kind) {
    case 'started':
      return [{ ...state, isLate: new Map(state.isLate).set(event.contender, false) }, []];
    case 'late': {
      const isLate = new Map(state.isLate);
      if (isLate.has(event.contender)) isLate.set(event.contender, true);
      return startAnother({ ...state, isLate, hedgeIsDue: true }, isAborted);
    }
    case 'committed':
      return decided(state, { kind: 'stop', except: event.contender, reason: 'superseded' });
    case 'aborted': {
      const rest = without(state, event.contender);
      // The race ends with its last contender.
      return [rest, rest.isLate.size === 0 ? [settle({ kind: 'aborted' })] : []];
    }
    case 'completed':
      return decided(
        without(state, event.contender),
        { kind: 'stop', reason: 'superseded' },
        settle({ kind: 'completed' }),
      );
    case 'failed': {
      const rest = without(state, event.contender);
      const { fault } = event;
      if (rest.isLate.size === 0 && rest.phase !== 'starting') {
        return [rest, [settle({ kind: 'fault', fault })]];
      }
      return startAnother({ ...rest, openFaults: [...rest.openFaults, fault] }, isAborted);
    }
    case 'planned': {
      const { step, cause } = event;
      if (!step) return startAnother(state, isAborted);
      return [{ ...state, phase: 'starting' }, [{ kind: 'request', step, cause }]];
    }
    case 'permitted':
      return permitted(state, event, isAborted);
    case 'paused':
      return [{ ...state, isPaused: true }, []];
    case 'resumed':
      return startAnother({ ...state, isPaused: false }, isAborted);
    case 'crashed': {
      const rest = event.ended === undefined ? state : without(state, event.ended);
      return decided(
        rest,
        ...(rest.isLate.size === 0 ? [settle({ kind: 'fault', fault: ourFault })] : []),
        { kind: 'stop', reason: ourFault },
      );
    }
  }
}

/** Starts another attempt if all running ones are late: after a failure, or as a hedge. */
function startAnother(state: RaceState, isAborted: boolean): Next {
  const { phase, isLate, isPaused, hedgeIsDue } = state;
  const areLate = isLate.size > 0 && [...isLate.values()].every(Boolean);
  if (phase !== 'open' || isPaused || isAborted || !areLate) return [state, []];
  const [fault, ...openFaults] = state.openFaults;
  if (fault) return [{ ...state, openFaults }, [{ kind: 'plan', cause: fault }]];
  if (!hedgeIsDue) return [state, []];
  return [{ ...state, hedgeIsDue: false }, [{ kind: 'plan', cause: 'late' }]];
}

function permitted(
  state: RaceState,
  { step, cause, permit }: Extract<RaceEvent, { kind: 'permitted' }>,
  isAborted: boolean,
): Next {
  const isDecided = state.phase === 'decided';
  if (permit && !isDecided && !isAborted) {
    return [{ ...state, phase: 'open' }, [{ kind: 'start', step, permit }]];
  }
  const givenBack: RaceEffect[] = [
    ...(permit ? [{ kind: 'cancel' as const, permit }] : []),
    ...(cause === 'late' ? [{ kind: 'return_hedge' as const }] : []),
  ];
  if (isDecided) return [state, givenBack];
  const open: RaceState = { ...state, phase: 'open' };
  if (open.isLate.size > 0) {
    const [next, effects] = refused(open, step.route, cause, isAborted);
    return [next, [...givenBack, ...effects]];
  }
  // The last concurrent attempt has ended in the meantime.
  const fault = open.openFaults.at(-1) ?? noContinuation;
  return [open, [...givenBack, settle(isAborted ? { kind: 'aborted' } : { kind: 'fault', fault })]];
}

/**
 * Another target may be tried for the same cause. A second refusal of a target ends that, otherwise it would
 * never end.
 */
function refused(state: RaceState, route: Route, cause: Cause, isAborted: boolean): Next {
  if (state.refusedOnce.has(route)) return startAnother(state, isAborted);
  const refusedOnce = new Set(state.refusedOnce).add(route);
  const again: RaceState =
    cause === 'late'
      ? { ...state, refusedOnce, hedgeIsDue: true }
      : { ...state, refusedOnce, openFaults: [cause, ...state.openFaults] };
  return startAnother(again, isAborted);
}

/** From now on no other attempt starts. */
const decided = (state: RaceState, ...effects: RaceEffect[]): Next => [
  { ...state, phase: 'decided' },
  [{ kind: 'end_pauses' }, ...effects],
];

function without(state: RaceState, contender: number): RaceState {
  const isLate = new Map(state.isLate);
  isLate.delete(contender);
  return { ...state, isLate };
}

const settle = (outcome: RaceOutcome): RaceEffect => ({ kind: 'settle', outcome });
