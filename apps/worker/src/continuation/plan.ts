import type { AttemptMode } from '@millrace/shared/domain/entry';
import { faultTable } from '@millrace/shared/domain/fault';
import type { Fault, FaultCode, FaultRow } from '@millrace/shared/domain/fault';
import type {
  Continuation,
  ContinuationScope,
  Prefill,
  ReaderKind,
  Target,
} from '@millrace/shared/domain/request';
import { interrupted, failStep } from './fail-step.ts';
import type { FailStep } from './fail-step.ts';
import type { History, AttemptState } from './history.ts';
import { mayContinue } from './scope.ts';
import { strategiesFor } from './strategies.ts';
import type { ContinuationStrategy } from './strategies.ts';
import { isExhausted, sinceDelivered } from './progress.ts';
import { retryDelay } from './retry-policy.ts';
import { isEmpty } from './delivered.ts';
import { timeLimit } from './time-limit.ts';
import type { RequestTraits } from './traits.ts';

/** A target and its capability. */
export type Route = Target & {
  /** Whether it continues a trailing assistant message. */
  prefill: Prefill;
  /** It passes requests on to other providers: what broke off there may go on there, at another one. */
  aggregator?: true;
};

export type PlanInput = {
  routes: readonly Route[];
  /** The routes are in the order of their cost: a rescue takes the first of those that have not failed, and not the next in turn. */
  byCost?: boolean;
  reader: ReaderKind;
  traits: RequestTraits;
  continuation: Continuation;
  /** @defaultValue any */
  scope?: ContinuationScope | undefined;
  history: History;
  /** Targets with an attempt under way: no second attempt is made at the same target. */
  asked?: readonly Target[];
  /** Targets that rejected only a key, and may be asked with another one. */
  otherKey?: readonly Target[];
  /** The fault of the last attempt of this run; undefined if none has failed. */
  fault: Fault | undefined;
  /** The last fault that explains the failure, if the very last one does not. */
  reason?: Fault | undefined;
  /** The model's timeout for all attempts together, in milliseconds. */
  timeoutMs: number;
  /** The request must not be served after this; milliseconds since the epoch. */
  deadlineAt?: number | undefined;
  /** Milliseconds since the epoch. */
  now: number;
  /** Between 0 and 1. */
  random: number;
};

export type NextStep =
  | { kind: 'attempt'; route: Route; mode: AttemptMode; delayMs: number }
  /** The delivered answer is complete: only its end is missing. */
  | { kind: 'complete' }
  | FailStep;

/** The outcome of an attempt that a worker stopped so that another worker continues it. */
const handedOver = 'handed_over';

/** The outcome of an attempt that an operator ended so that another target continues it. */
const moved: FaultCode = 'moved';

/** Decides what a run does next. Pure. */
export function planNext(input: PlanInput): NextStep {
  const { history, traits, routes, timeoutMs, deadlineAt, now } = input;
  const { delivered, attempts, startedAt } = history;
  const isWhole = history.result !== undefined || delivered.finished.size >= traits.choices;
  if (isWhole) return { kind: 'complete' };
  if (routes.length === 0) return failStep(input, noTarget);
  const limit = timeLimit({ startedAt, timeoutMs, deadlineAt, now });
  if (now >= limit.at) return failStep(input, limit.fault);
  if (isExhausted(attempts)) return failStep(input, input.fault ?? tooManyAttempts);
  const step = isEmpty(delivered) ? planFirstOutput(input) : planContinuation(input);
  // The pause must end within the request's time.
  const isInTime = step.kind !== 'attempt' || now + step.delayMs < limit.at;
  return isInTime ? step : failStep(input, limit.fault);
}

/** Nothing was delivered: the request can be made anew. */
function planFirstOutput(input: PlanInput): NextStep {
  const { routes, history, fault, random, asked = [], otherKey = [] } = input;
  const attempts = sinceRestart(history.attempts);
  const last = lastOf(attempts, fault);
  const turn = inTurn(input, attempts, last).filter((route) => !isAmong(asked, route));
  const first = turn[0];
  if (!first) return failStep(input, fault ?? noTarget);
  // The first attempt, or the one after a worker's death.
  if (!fault) return attempt(first, 'start');
  const row = faultTable[fault.code];
  if (!row.next) return failStep(input, fault);

  const same = last && routes.find((route) => isAt(last, route));
  if (same && last.outcome === fault.code) {
    if (isAmong(otherKey, same)) return attempt(same, 'start');
    const alike = attempts.filter((one) => isAt(one, same) && one.outcome === fault.code);
    const delayMs = retryDelay(fault, row, alike.length, random);
    if (delayMs !== undefined) return attempt(same, 'start', delayMs);
  }
  // A target from which an operator moved the request has not failed either, and is asked again if the others have.
  const mayFollow = ({ outcome }: AttemptState) =>
    isNoFault(outcome) || (outcome === moved && fault.code !== moved);
  const attemptsAt = (route: Route) => attempts.filter((one) => isAt(one, route));
  const fresh =
    turn.find((route) => attemptsAt(route).length === 0) ??
    // Its worker died, or another attempt won: the target has not failed.
    turn.find((route) => attemptsAt(route).every(mayFollow)) ??
    // The other targets closed while the request was moved: it goes on where it was well served.
    turn.find((route) =>
      attemptsAt(route).every(({ outcome }) => isNoFault(outcome) || outcome === moved),
    );
  if (fresh) return attempt(fresh, 'start');
  const end = failStep(input, fault);
  return fault.code === 'upstream_rate_limited' ? { ...end, lacksCapacity: true } : end;
}

/** Tries the strategies at each target in turn; then restarts the answer for a native reader, or fails. */
function planContinuation(all: PlanInput): NextStep {
  const input = { ...all, routes: inScope(all) };
  const { routes, history, traits, continuation, fault, random } = input;
  const { asked = [], otherKey = [] } = input;
  const last = lastOf(history.attempts, fault);
  // Attempts that were handed over or superseded have not failed, and an attempt that was to begin the answer
  // followed no strategy.
  const since = sinceDelivered(history.attempts).filter(
    ({ mode, outcome }) =>
      isContinuation(mode) && outcome !== handedOver && outcome !== 'superseded',
  );
  if (fault && !faultTable[fault.code].next) return restartOrFail(all, fault);

  const strategiesAt = (route: Route): Generator<ContinuationStrategy, void> =>
    strategiesFor({
      delivered: history.delivered,
      traits,
      continuation,
      prefill: route.prefill,
      sameModel: history.source !== undefined && isAt(history.source, route),
    });
  const order = targetOrder(input, last, fault).filter((route) => !isAmong(asked, route));

  const failuresAt = (place: Target) =>
    since.filter((one) => isAt(one, place) && mayPass(one)).length;
  const mayAskFresh = () =>
    order.some(
      (route) => !since.some((one) => isAt(one, route)) && strategiesAt(route).next().done !== true,
    );

  // A concurrent attempt may have delivered text since then that rules the strategy out.
  const isStillRight = (route: Route) =>
    [...strategiesAt(route)].some((strategy) => strategy === last?.mode);
  const same =
    last &&
    fault &&
    since.includes(last) &&
    routes.find((route) => isAt(last, route) && isStillRight(route));
  if (same && isAmong(otherKey, same)) return attempt(same, last.mode);
  // If the target sent nothing, the strategy was not at fault: the target is asked again in the same way, as
  // often as the fault's row permits. If the target broke off and there is another one, it does not get a
  // second timeout.
  if (same && (!last.answered || routes.length === 1)) {
    const row = faultTable[fault.code];
    const delayMs = retryDelay(fault, row, failuresAt(same), random);
    // While the reader waits in the middle of an answer, no pause is made if another target may continue.
    const isWorth = delayMs !== undefined && !(row.pause && mayAskFresh());
    if (isWorth) return attempt(same, last.mode, delayMs);
  }
  let lost: NextStep | undefined;
  for (const route of order) {
    for (const strategy of strategiesAt(route)) {
      const attempts = since.filter((one) => isAt(one, route) && one.mode === strategy);
      const before = attempts.at(-1);
      if (!before) return attempt(route, strategy);
      // Its worker died during the attempt: it gets one more try when all others have failed.
      if (attempts.length === 1 && isNoFault(before.outcome)) lost ??= attempt(route, strategy);
      // The target was only busy, and others were asked in the meantime.
      const row = rows[before.outcome];
      const mayRepeat = row && route !== same && !before.answered && !mayAskFresh();
      const delayMs = mayRepeat && retryDelay({}, row, failuresAt(route), random);
      if (typeof delayMs === 'number') return attempt(route, strategy, delayMs);
    }
  }
  return lost ?? restartOrFail(all, fault ?? interrupted);
}

/** The targets that may continue the answer; all before a line says which target it is of. */
function inScope({ routes, history: { source }, scope = 'any' }: PlanInput): readonly Route[] {
  return source ? routes.filter((route) => mayContinue(scope, source, route)) : routes;
}

/**
 * A target that answered but did not continue the text may be asked with its next strategy; a target that
 * failed waits its turn.
 */
function targetOrder(
  input: PlanInput,
  last: AttemptState | undefined,
  fault: Fault | undefined,
): readonly Route[] {
  const turn = inTurn(input, sinceRestart(input.history.attempts), last);
  const stays = fault?.code === 'no_continuation' || fault?.code === 'target_unsuited';
  if (stays || isWorthAgain(input, last, fault)) return [...turn.slice(-1), ...turn.slice(0, -1)];
  // After a hand-over no target was at fault: targets with prefill come first because they keep the reader
  // waiting least.
  if (last?.outcome !== handedOver) return turn;
  return [...turn.filter(({ prefill }) => prefill), ...turn.filter(({ prefill }) => !prefill)];
}

/** Whether the answer broke off at an aggregator for the first time, by a fault that a repetition may cure. */
function isWorthAgain(
  { routes, history }: PlanInput,
  last: AttemptState | undefined,
  fault: Fault | undefined,
): boolean {
  const route = last && routes.find((one) => isAt(last, one));
  if (!route?.aggregator || !fault) return false;
  const { again, health } = faultTable[fault.code];
  const breaks = sinceRestart(history.attempts).filter(
    (one) => isAt(one, route) && isBreak(one.outcome),
  );
  return again > 0 && health && breaks.length === 1;
}

/** A native reader can take back what it was sent, except a tool call, which may have been carried out. */
function restartOrFail(input: PlanInput, fault: Fault): NextStep {
  const { reader, history } = input;
  if (reader === 'plain' || history.delivered.toolCall || !faultTable[fault.code].next) {
    return failStep(input, fault);
  }
  const restarted = history.attempts.filter(({ mode }) => mode === 'restart');
  const order = targetOrder(input, lastOf(history.attempts, fault), fault).filter(
    (route) => !restarted.some((one) => isAt(one, route)),
  );
  // A target that broke off twice is likely to do so again, and few attempts are left.
  const isReliable = (route: Route) =>
    history.attempts.filter((one) => isAt(one, route) && isBreak(one.outcome)).length < 2;
  const fresh = order.find(isReliable) ?? order[0];
  return fresh ? attempt(fresh, 'restart') : failStep(input, fault);
}

/** The attempt that had the fault: in a race it is not always the later one. */
const lastOf = (
  attempts: readonly AttemptState[],
  fault: Fault | undefined,
): AttemptState | undefined =>
  attempts.findLast(({ outcome }) => outcome === fault?.code) ?? attempts.at(-1);

/** After a reset the answer begins anew, and every target counts as untried. */
const sinceRestart = (attempts: readonly AttemptState[]): readonly AttemptState[] =>
  attempts.slice(
    Math.max(
      0,
      attempts.findLastIndex(({ mode }) => mode === 'restart'),
    ),
  );

const isNoFault = (outcome: string): boolean =>
  outcome === 'open' ||
  outcome === 'superseded' ||
  outcome === 'worker_lost' ||
  outcome === handedOver;

const rows: Readonly<Record<string, FaultRow>> = faultTable;

/** Whether the fault is one that a repetition may cure. */
const mayPass = ({ outcome }: AttemptState): boolean => (rows[outcome]?.again ?? 0) > 0;

const isContinuation = (mode: AttemptMode): boolean => mode !== 'start' && mode !== 'restart';

const isAt = (one: Target, other: Target): boolean =>
  one.provider === other.provider && one.model === other.model;

const isAmong = (targets: readonly Target[], one: Target): boolean =>
  targets.some((place) => isAt(place, one));

const attempt = (route: Route, mode: AttemptMode, delayMs = 0): NextStep => ({
  kind: 'attempt',
  route,
  mode,
  delayMs,
});

/**
 * The targets in turn, from the one after the last tried to that one itself; or, after a hand-over, from the
 * last tried one. By cost, those that have failed come after the others, and the last tried one after all.
 */
function inTurn(
  { routes, byCost }: PlanInput,
  attempts: readonly AttemptState[],
  last: AttemptState | undefined,
): readonly Route[] {
  if (byCost && last?.outcome !== handedOver) {
    const rank = (route: Route): number => {
      if (last && isAt(last, route)) return 2;
      return attempts.some((one) => isAt(one, route) && !isNoFault(one.outcome)) ? 1 : 0;
    };
    return routes.toSorted((one, other) => rank(one) - rank(other));
  }
  const at = last ? routes.findIndex((route) => isAt(last, route)) : -1;
  const from = at >= 0 && last?.outcome === handedOver ? at : at + 1;
  return [...routes.slice(from), ...routes.slice(0, from)];
}

const noTarget: Fault = {
  code: 'provider_not_configured',
  message: 'The model has no provider that this worker knows.',
};

const tooManyAttempts: Fault = {
  code: 'upstream_invalid_response',
  message: 'The request was tried too often.',
};

/** Whether an attempt ended because its target failed to answer, or to finish its answer. */
const isBreak = (outcome: string): boolean =>
  Object.hasOwn(faultTable, outcome) &&
  outcome !== 'target_unsuited' &&
  outcome !== 'no_continuation' &&
  outcome !== moved;
