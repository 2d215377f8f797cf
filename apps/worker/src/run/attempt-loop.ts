import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '@millrace/shared/domain/fault';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { createJournal } from './journal.ts';
import type { Journal } from './journal.ts';
import type { LogWriter } from './append-writer.ts';
import { createCostCap } from './cost-cap.ts';
import type { CostCap } from './cost-cap.ts';
import { createRace } from './race.ts';
import type { AttemptStep, Race, RaceOptions, RaceOutcome } from './race.ts';
import { continuationBody, continuationTurns } from '../continuation/continue-body.ts';
import type { History } from '../continuation/history.ts';
import { failStep, reasonAfter } from '../continuation/fail-step.ts';
import type { FailStep } from '../continuation/fail-step.ts';
import { planNext } from '../continuation/plan.ts';
import type { Route, NextStep } from '../continuation/plan.ts';
import { isEmpty, plainText } from '../continuation/delivered.ts';
import { timeLimit } from '../continuation/time-limit.ts';
import { readTraits } from '../continuation/traits.ts';
import type { RequestTraits } from '../continuation/traits.ts';
import type { Target } from '@millrace/shared/domain/request';
import type { ClientRequest, Policy, RunControl, RunDeps } from './port.ts';
import type { TargetAccess } from '../upstream/target-access.ts';
import type { Attempt } from './attempt.ts';

export type AttemptLoopOptions = {
  activation: Activation;
  deps: RunDeps;
  /** In the inner form. */
  body: string;
  /** The client's request where its format is another one. */
  asked?: ClientRequest | undefined;
  history: History;
  /** Characters of the log's lines so far. */
  loggedChars: number;
  writer: LogWriter;
  run: number;
  /** Whether the seal is so fresh that no other run can have taken the log since. */
  isSealFresh(): boolean;
  signal: AbortSignal;
  onRace(race: Race, control: LoopControl): void;
};

/** `waits`: why the targets for which it waits take no request; undefined: it does not wait. */
export type LoopControl = Pick<RunControl, 'move'> & { waits(): string | undefined };

const defaultPolicy: Policy = {
  continuation: 'auto',
  onSlowFirstToken: 'hedge',
  holdToolCalls: true,
  timeoutMs: 600_000,
};

/**
 * Makes one step after the other until the answer is complete or nothing is left to try. `planNext` decides
 * each step. Resolves to undefined if the signal ended it.
 */
export async function runAttempts(
  options: AttemptLoopOptions,
): Promise<ActivationOutcome | undefined> {
  const { body } = options;
  if (isLarge(body)) await nextTurn();
  const traits = readTraits(body);
  if (isLarge(body)) await nextTurn();
  const { activation, deps } = options;
  const loading = deps.costs?.load(activation.data);
  // A price that cannot be loaded is unknown.
  if (loading) await loading.catch(deps.onError);
  return new AttemptLoop(options, traits).conclusion();
}

class AttemptLoop {
  private readonly options: AttemptLoopOptions;
  private readonly traits: RequestTraits;
  private readonly policy: Policy;
  private readonly journal: Journal;
  private readonly routes: readonly Route[];
  private readonly targets: TargetAccess;
  /** Undefined: the request has no cap. */
  private readonly costCap: CostCap | undefined;
  private readonly race: Race;
  /** The last fault that explains why there is no answer. */
  private reason: Fault | undefined;
  private isFirst = true;
  /** The target to which an operator moves the answer: the next call is made there, if it can continue. */
  private wish: Route | undefined;
  /** The targets for which the request waits now. */
  private awaited: readonly Route[] | undefined;

  constructor(options: AttemptLoopOptions, traits: RequestTraits) {
    const { activation, deps, body, signal, onRace } = options;
    const { model, targets, deadlineAt, maxCost } = activation.data;
    this.options = options;
    this.traits = traits;
    this.policy = deps.policy(model) ?? defaultPolicy;
    this.journal = this.openJournal();
    this.journal.closeLost();
    this.routes = deps.routes(targets, activation.data);
    this.targets = deps.openTargets({ model, routes: this.routes, body, signal, deadlineAt });
    const { prices = unknownPrices } = deps.costs ?? {};
    this.costCap =
      maxCost === undefined ? undefined : createCostCap({ maxCost, body, prices, now: deps.now });
    this.race = this.openRace();
    onRace(this.race, {
      move: (target) => this.move(target),
      waits: () => this.awaited && this.targets.whyShut(this.awaited),
    });
  }

  async conclusion(): Promise<ActivationOutcome | undefined> {
    try {
      return (await this.loop()) ?? this.journal.conclusion;
    } finally {
      this.targets.close();
    }
  }

  /** Returns an outcome only if the job goes back to the queue; all others are in the journal. */
  private async loop(): Promise<ActivationOutcome | undefined> {
    const { signal } = this.options;
    for (let fault: Fault | undefined; !signal.aborted;) {
      const { open, shut } = this.candidates();
      const step = this.pauseForClosed(shut, fault) ?? this.decide(open, fault);
      if (step.kind === 'fail') {
        const later = shut.length > 0 ? this.decide([...open, ...shut], fault) : step;
        // The reason is the fault of the targets that were asked, not that none is left.
        if (later.kind === 'fail') return this.end(later);
        if (later.kind === 'complete') return undefined;
        // A closed target may still answer later.
        const waited = await this.waitFor(shut, open, fault);
        if (waited === 'retry') continue;
        return waited;
      }
      if (step.kind === 'complete') {
        this.journal.complete();
        return undefined;
      }
      const outcome = await this.attempt(step);
      if (outcome === 'not_started') continue;
      if (outcome.kind !== 'fault') return undefined;
      fault = outcome.fault;
      this.reason = reasonAfter(this.reason, fault);
    }
    return undefined;
  }

  private async attempt(step: AttemptStep): Promise<RaceOutcome | 'not_started'> {
    const { signal } = this.options;
    if (step.delayMs > 0) await sleep(step.delayMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return { kind: 'aborted' };
    const acquired = this.targets.acquire(step.route);
    const permit = acquired instanceof Promise ? await acquired : acquired;
    if (!permit) return 'not_started';
    if (signal.aborted) {
      permit.cancel();
      return { kind: 'aborted' };
    }
    return this.race.run(step, permit);
  }

  /**
   * Ends the present attempt as one that broke off, if another target can continue now. It counts against no target, and the
   * loop goes on with its ordinary continuation.
   */
  private move(target: Target | undefined): ReturnType<RunControl['move']> {
    const { attempts } = this.options.history;
    const current = attempts.findLast(({ outcome }) => outcome === 'open');
    const isAt = (one: Target) => (other: Target) =>
      one.provider === other.provider && one.model === other.model;
    if (target && !this.routes.some(isAt(target))) return { kind: 'unknown_target' };
    if (!current || !this.race.isRunning) return { kind: 'no_attempt' };
    const { open } = this.candidates();
    const others = open.filter(
      (route) => !isAt(current)(route) && (target === undefined || isAt(target)(route)),
    );
    const step = this.decide(others, moved, endedByMove(this.options.history));
    // Nor is text taken back from a reader whose stream is well.
    if (step.kind !== 'attempt' || step.mode === 'restart') return { kind: 'no_target' };
    this.wish = step.route;
    this.race.breakOff(moved);
    return { kind: 'moved', from: { provider: current.provider, model: current.model } };
  }

  /** Waits until a closed target that would help may be asked. */
  private async waitFor(
    shut: readonly Route[],
    open: readonly Route[],
    fault: Fault | undefined,
  ): Promise<'retry' | ActivationOutcome | undefined> {
    const { history, activation } = this.options;
    const helps = (route: Route) => this.decide([...open, route], fault).kind === 'attempt';
    const useful = shut.filter(helps);
    this.awaited = useful.length > 0 ? useful : shut;
    const waited = await this.targets.wait(this.awaited, {
      urgent: this.isUrgent,
      isFresh: history.attempts.length === 0,
      isDetached: !activation.data.attached,
    });
    this.awaited = undefined;
    if (waited.kind === 'retry') return 'retry';
    if (waited.kind === 'not_yet') return waited;
    if (waited.kind === 'fault') {
      const { reason } = this;
      this.journal.fail(failStep({ history, reason }, withRetryTime(reason, waited.fault)));
    }
    return undefined;
  }

  /** A reader has a part of the answer, so the request goes ahead of those that have nothing yet. */
  private get isUrgent(): boolean {
    return !isEmpty(this.options.history.delivered);
  }

  /** The targets that may be asked now. */
  private candidates() {
    return this.targets.candidates(this.isUrgent, this.options.history.delivered.tokens);
  }

  private decide(
    routes: readonly Route[],
    fault: Fault | undefined,
    history = this.options.history,
  ): NextStep {
    const { wish } = this;
    if (wish && routes.includes(wish) && routes.length > 1) {
      const step = this.decide([wish], fault, history);
      if (step.kind === 'attempt') return step;
    }
    const { deps, activation } = this.options;
    const { reader, continuation = this.policy.continuation, deadlineAt } = activation.data;
    const affordable = this.costCap?.within(routes, history) ?? routes;
    const step = planNext({
      routes: affordable,
      byCost: this.policy.strategy === 'cheapest',
      reader,
      traits: this.traits,
      continuation,
      scope: this.policy.continuationScope,
      history,
      // Open attempts are this run's own: those of earlier runs were closed when it began.
      asked: history.attempts.filter(({ outcome }) => outcome === 'open'),
      otherKey: routes.filter((route) => this.targets.hasOtherKey(route)),
      fault,
      reason: this.reason,
      timeoutMs: this.policy.timeoutMs,
      deadlineAt,
      now: deps.now(),
      random: deps.random(),
    });
    const isTooDear = this.costCap && affordable.length === 0 && routes.length > 0;
    if (step.kind !== 'fail' || !isTooDear) return step;
    return failStep({ history, reason: this.reason }, this.costCap.fault(history));
  }

  /** The step to a closed target, if it will be open again after the pause that it asked for. */
  private pauseForClosed(shut: readonly Route[], fault: Fault | undefined): NextStep | undefined {
    if (!fault || shut.length === 0) return undefined;
    const step = this.decide(this.routes, fault);
    if (step.kind !== 'attempt' || step.delayMs === 0 || !shut.includes(step.route)) {
      return undefined;
    }
    const startsAt = this.options.deps.now() + step.delayMs;
    return this.targets.opensAt(step.route) <= startsAt ? step : undefined;
  }

  private hedge(): AttemptStep | undefined {
    if (this.policy.onSlowFirstToken !== 'hedge') return undefined;
    const step = this.decide(this.candidates().open, slow);
    return mayRunBeside(step) && this.options.deps.mayHedge() ? step : undefined;
  }

  private fallback(fault: Fault): AttemptStep | undefined {
    this.reason = reasonAfter(this.reason, fault);
    const step = this.decide(this.candidates().open, fault);
    return mayRunBeside(step) ? step : undefined;
  }

  /**
   * Fails the request; but a job that lacks only capacity goes back to the queue, as no client waits on a
   * connection.
   */
  private end(step: FailStep): ActivationOutcome | undefined {
    const { attached } = this.options.activation.data;
    if (step.lacksCapacity && !attached && this.targets.requeue()) return { kind: 'not_yet' };
    this.journal.fail(step);
    return undefined;
  }

  /**
   * Resolves when the line of an attempt counts as logged. The first one follows the seal, which has just
   * proved that the log is ours: it is enough that the line has been sent. Later ones wait for Redis.
   */
  private logged(): Promise<void> | undefined {
    const { isSealFresh, writer } = this.options;
    const isProven = this.isFirst && isSealFresh();
    this.isFirst = false;
    return isProven ? writer.sent() : writer.flushed();
  }

  private openJournal(): Journal {
    const { activation, deps, body, history, loggedChars, writer, run } = this.options;
    const { maxHeldChars, maxLogChars, metrics, now } = deps;
    return createJournal({
      run,
      body,
      history,
      writer,
      tools: this.traits.tools,
      holdToolCalls: this.policy.holdToolCalls,
      maxHeldChars,
      loggedChars,
      maxLogChars,
      metrics,
      onDelivered: activation.shown,
      hasLedger: deps.hasLedger,
      now,
    });
  }

  private openRace(): Race {
    const { deps, signal } = this.options;
    return createRace({
      journal: this.journal,
      logged: () => this.logged(),
      hedge: () => this.hedge(),
      returnHedge: deps.returnHedge,
      fallback: (fault) => this.fallback(fault),
      signal,
      onError: deps.onError,
      handsOver: () => signal.reason === 'shutdown',
      waits: this.policy.onSlowFirstToken !== 'failover',
      acquire: ({ route }) => this.targets.acquire(route),
      call: (...call) => this.call(...call),
    });
  }

  private call(...[step, permit, sink, onSlow, attempt]: Parameters<RaceOptions['call']>): Attempt {
    const { activation, deps, body, asked, history, signal } = this.options;
    const { route, mode } = step;
    this.wish = undefined;
    const begins = mode === 'start' || mode === 'restart';
    const text = begins ? '' : (plainText(history.delivered) ?? '');
    const { delivered, attempts, startedAt } = history;
    const { deadlineAt } = activation.data;
    const { timeoutMs } = this.policy;
    return deps.call({
      activation,
      target: route,
      permit,
      body: begins ? body : continuationBody(body, mode, text),
      asked,
      turns: begins ? [] : continuationTurns(mode, text),
      mode,
      attempt,
      identity: delivered.identity,
      wasAccepted: attempts.some(({ answered }) => answered),
      refusedStreamOptions: attempts.some(
        (one) =>
          one.outcome === 'stream_options_refused' &&
          one.provider === route.provider &&
          one.model === route.model,
      ),
      limit: timeLimit({ startedAt, timeoutMs, deadlineAt, now: deps.now() }),
      sink,
      signal,
      onSlow,
      onError: deps.onError,
    });
  }
}

const unknownPrices = (): null => null;

/** A restart makes readers take the answer back, so it is never made beside an attempt that may still win. */
const mayRunBeside = (step: NextStep): step is AttemptStep =>
  step.kind === 'attempt' && step.mode !== 'restart';

/**
 * The fault of a request that waited: that of its last attempt, with the time after which a retry is
 * worthwhile.
 */
const withRetryTime = (reason: Fault | undefined, waited: Fault): Fault =>
  reason === undefined || waited.retryAfterMs === undefined
    ? (reason ?? waited)
    : { ...reason, retryAfterMs: waited.retryAfterMs };

/** The history as it will be when the open attempts have been ended by a move. */
const endedByMove = (history: History): History => ({
  ...history,
  attempts: history.attempts.map((one) =>
    one.outcome === 'open' ? { ...one, outcome: moved.code } : one,
  ),
});

const moved: Fault = { code: 'moved', message: 'An operator moved the answer to another target.' };

const slow: Fault = {
  code: 'upstream_first_token_timeout',
  message: 'The provider sent no first token in time.',
};
