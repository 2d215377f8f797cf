import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '@millrace/shared/domain/fault';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { createJournal } from './journal.ts';
import type { LogWriter } from './appender.ts';
import { createRace } from './race.ts';
import type { AttemptStep, Race } from './race.ts';
import { continuationBody } from '../continuation/continue-body.ts';
import type { History } from '../continuation/history.ts';
import { failStep, reasonAfter } from '../continuation/fail-step.ts';
import type { FailStep } from '../continuation/fail-step.ts';
import { planNext } from '../continuation/plan.ts';
import type { Route, NextStep } from '../continuation/plan.ts';
import { isEmpty, plainText } from '../continuation/delivered.ts';
import { timeLimit } from '../continuation/time-limit.ts';
import { readTraits } from '../continuation/traits.ts';
import type { Policy, RunDeps } from './run.ts';
import type { WaitNeed } from '../upstream/target-access.ts';

export type AttemptLoopOptions = {
  activation: Activation;
  deps: RunDeps;
  body: string;
  history: History;
  /** Characters of the log's lines so far. */
  loggedChars: number;
  writer: LogWriter;
  run: number;
  /** Whether the seal is so fresh that no other run can have taken the log since. */
  isSealFresh(): boolean;
  signal: AbortSignal;
  onRace(race: Race): void;
};

const defaultPolicy: Policy = {
  continuation: 'auto',
  onSlowFirstToken: 'hedge',
  holdToolCalls: true,
  timeoutMs: 600_000,
};

/**
 * Makes one step after the other until the answer is whole, or nothing is left to try. `planNext` decides each step.
 * Resolves to undefined if the signal ended it.
 */
export async function runAttempts(
  options: AttemptLoopOptions,
): Promise<ActivationOutcome | undefined> {
  const { activation, deps, body, history, loggedChars, writer, run, isSealFresh, signal, onRace } =
    options;
  const { data } = activation;
  const policy = deps.policy(data.model) ?? defaultPolicy;
  if (isLarge(body)) await nextTurn();
  const traits = readTraits(body);
  if (isLarge(body)) await nextTurn();
  const { holdToolCalls, timeoutMs } = policy;
  const { deadlineAt } = data;
  const { maxHeldChars, maxLogChars, metrics, now } = deps;
  const journal = createJournal({
    run,
    body,
    history,
    writer,
    tools: traits.tools,
    holdToolCalls,
    maxHeldChars,
    loggedChars,
    maxLogChars,
    metrics,
    onDelivered: activation.shown,
    now,
  });
  journal.closeLost();

  const { model } = data;
  const routes = deps.routes(data.targets, model);
  const targets = deps.openTargets({ model, routes, body, signal, deadlineAt });
  /** What may be asked now. Who has a reader in mid-answer does not stand in line. */
  const isUrgent = () => !isEmpty(history.delivered);
  const need = (): WaitNeed => ({
    urgent: isUrgent(),
    isFresh: history.attempts.length === 0,
    isDetached: !data.attached,
  });
  const look = () => targets.candidates(isUrgent());

  /** The last fault that tells why there is no answer. */
  let reason: Fault | undefined;
  const decide = (routes: readonly Route[], fault: Fault | undefined): NextStep =>
    planNext({
      routes,
      reader: data.reader,
      traits,
      continuation: data.continuation ?? policy.continuation,
      history,
      // By this run: what others left open was ended when it began.
      asked: history.attempts.filter(({ outcome }) => outcome === 'open'),
      otherKey: routes.filter(targets.hasOtherKey),
      fault,
      reason,
      timeoutMs,
      deadlineAt,
      now: deps.now(),
      random: deps.random(),
    });

  /** Why one ends that waited: as its last attempt did, and with the time when it is worth coming back. */
  const withRetryTime = (waited: Fault): Fault =>
    reason === undefined || waited.retryAfterMs === undefined
      ? (reason ?? waited)
      : { ...reason, retryAfterMs: waited.retryAfterMs };

  // Readers are told to forget when nothing else is left, and not while somebody may still speak.
  const mayRunBeside = (step: NextStep): step is AttemptStep =>
    step.kind === 'attempt' && step.mode !== 'restart';

  /** The step to a target that is shut, when it is open again after the pause that it asked for. */
  function pauseForClosed(shut: readonly Route[], fault: Fault | undefined): NextStep | undefined {
    if (!fault || shut.length === 0) return undefined;
    const step = decide(routes, fault);
    if (step.kind !== 'attempt' || step.delayMs === 0 || !shut.includes(step.route))
      return undefined;
    return targets.opensAt(step.route) <= deps.now() + step.delayMs ? step : undefined;
  }

  function hedge(): AttemptStep | undefined {
    if (policy.onSlowFirstToken !== 'hedge') return undefined;
    const step = decide(look().open, slow);
    return mayRunBeside(step) && deps.mayHedge() ? step : undefined;
  }

  function fallback(fault: Fault): AttemptStep | undefined {
    reason = reasonAfter(reason, fault);
    const step = decide(look().open, fault);
    return mayRunBeside(step) ? step : undefined;
  }

  /** The end, but for a job that lacks only room: nobody waits on the line, and the queue keeps it. */
  function end(step: FailStep): ActivationOutcome | undefined {
    if (step.lacksCapacity && !data.attached && targets.requeue()) return { kind: 'not_yet' };
    journal.fail(step);
    return journal.conclusion;
  }

  let isFirst = true;
  /**
   * When the line of an attempt may be called logged. The first one follows the seal, which has proved that
   * the log is ours: it is enough that the line is on its way before the call. Later ones wait for Redis.
   */
  function logged(): Promise<void> | undefined {
    const isProven = isFirst && isSealFresh();
    isFirst = false;
    return isProven ? writer.sent() : writer.flushed();
  }

  const race = createRace({
    journal,
    logged,
    hedge,
    returnHedge: deps.returnHedge,
    fallback,
    signal,
    onError: deps.onError,
    handsOver: () => signal.reason === 'shutdown',
    waits: policy.onSlowFirstToken !== 'failover',
    acquire: ({ route }) => targets.acquire(route),
    call: ({ route, mode }, permit, sink, onSlow) =>
      deps.call({
        activation,
        target: route,
        permit,
        body:
          mode === 'start' || mode === 'restart'
            ? body
            : continuationBody(body, mode, plainText(history.delivered) ?? ''),
        mode,
        identity: history.delivered.identity,
        wasAccepted: history.attempts.some(({ answered }) => answered),
        refusedStreamOptions: history.attempts.some(
          (one) =>
            one.outcome === 'stream_options_refused' &&
            one.provider === route.provider &&
            one.model === route.model,
        ),
        limit: timeLimit({
          startedAt: history.startedAt,
          timeoutMs,
          deadlineAt,
          now: deps.now(),
        }),
        sink,
        signal,
        onSlow,
        onError: deps.onError,
      }),
  });
  onRace(race);

  try {
    for (let fault: Fault | undefined; !signal.aborted;) {
      const { open, shut } = look();
      const step = pauseForClosed(shut, fault) ?? decide(open, fault);
      if (step.kind === 'fail' && shut.length > 0) {
        const later = decide([...open, ...shut], fault);
        // Rather late than never, where one that cannot be asked now may still do it.
        if (later.kind === 'attempt') {
          const helps = (route: Route) => decide([...open, route], fault).kind === 'attempt';
          const useful = shut.filter(helps);
          const waited = await targets.wait(useful.length > 0 ? useful : shut, need());
          if (waited.kind === 'retry') continue;
          if (waited.kind === 'not_yet') return waited;
          if (waited.kind === 'fault')
            journal.fail(failStep({ history, reason }, withRetryTime(waited.fault)));
          break;
        }
        // Why those failed that were asked, and not that nobody is left.
        if (later.kind === 'fail') return end(later);
        break;
      }
      if (step.kind === 'fail') return end(step);
      if (step.kind === 'complete') journal.complete();
      if (step.kind !== 'attempt') break;
      if (step.delayMs > 0) await sleep(step.delayMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      const entered = targets.acquire(step.route);
      const permit = entered instanceof Promise ? await entered : entered;
      if (!permit) continue;
      if (signal.aborted) {
        permit.cancel();
        break;
      }
      const outcome = await race.run(step, permit);
      if (outcome.kind !== 'fault') break;
      fault = outcome.fault;
      reason = reasonAfter(reason, fault);
    }
  } finally {
    targets.close();
  }
  return journal.conclusion;
}

const slow: Fault = {
  code: 'upstream_first_token_timeout',
  message: 'The provider sent no first token in time.',
};
