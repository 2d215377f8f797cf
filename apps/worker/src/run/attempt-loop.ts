import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '@millrace/shared/domain/fault';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { createAnswer } from './journal.ts';
import type { LogWriter } from './appender.ts';
import { createContest } from './race.ts';
import type { AttemptStep, Contest } from './race.ts';
import { continueBody } from '../continuation/continue-body.ts';
import type { History } from '../continuation/history.ts';
import { fail, reasonAfter } from '../continuation/clear-end.ts';
import type { ClearEnd } from '../continuation/clear-end.ts';
import { next } from '../continuation/plan.ts';
import type { Route, Step } from '../continuation/plan.ts';
import { isNothing, plainText } from '../continuation/delivered.ts';
import { timeLimit } from '../continuation/time-limit.ts';
import { readTraits } from '../continuation/traits.ts';
import type { Policy, RunDeps } from './run.ts';
import type { Need } from '../upstream/gate.ts';

export type ClimbOptions = {
  activation: Activation;
  deps: RunDeps;
  body: string;
  history: History;
  /** Characters of the log's lines so far. */
  loggedChars: number;
  writer: LogWriter;
  run: number;
  /** Whether the seal is so fresh that no other run can have taken the log since. */
  isSurelyOurs(): boolean;
  signal: AbortSignal;
  onContest(contest: Contest): void;
};

const defaultPolicy: Policy = {
  continuation: 'auto',
  onSlowFirstToken: 'hedge',
  holdToolCalls: true,
  timeoutMs: 600_000,
};

/**
 * Makes one step of the ladder after the other until the answer is whole, or nothing is left to try.
 * What each step is, `next` decides from what is known; undefined when the signal ended it.
 */
export async function climb(options: ClimbOptions): Promise<ActivationOutcome | undefined> {
  const {
    activation,
    deps,
    body,
    history,
    loggedChars,
    writer,
    run,
    isSurelyOurs,
    signal,
    onContest,
  } = options;
  const { data } = activation;
  const policy = deps.policy(data.model) ?? defaultPolicy;
  if (isLarge(body)) await nextTurn();
  const traits = readTraits(body);
  if (isLarge(body)) await nextTurn();
  const { holdToolCalls, timeoutMs } = policy;
  const { deadlineAt } = data;
  const { maxHeldChars, maxLogChars, metrics, now } = deps;
  const answer = createAnswer({
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
    onShown: activation.shown,
    now,
  });
  answer.closeLost();

  const { model } = data;
  const routes = deps.routes(data.targets, model);
  const gate = deps.openGate({ model, routes, body, signal, deadlineAt });
  /** What may be asked now. Who has a reader in mid-answer does not stand in line. */
  const isUrgent = () => !isNothing(history.shown);
  const need = (): Need => ({
    urgent: isUrgent(),
    isFresh: history.tries.length === 0,
    isDetached: !data.attached,
  });
  const look = () => gate.look(isUrgent());

  /** The last fault that tells why there is no answer. */
  let reason: Fault | undefined;
  const decide = (routes: readonly Route[], fault: Fault | undefined): Step =>
    next({
      routes,
      reader: data.reader,
      traits,
      continuation: data.continuation ?? policy.continuation,
      history,
      // By this run: what others left open was ended when it began.
      asked: history.tries.filter(({ outcome }) => outcome === 'open'),
      otherKey: routes.filter(gate.hasOtherKey),
      fault,
      reason,
      timeoutMs,
      deadlineAt,
      now: deps.now(),
      random: deps.random(),
    });

  /** Why one ends that waited: as its last attempt did, and with the time when it is worth coming back. */
  const why = (waited: Fault): Fault =>
    reason === undefined || waited.retryAfterMs === undefined
      ? (reason ?? waited)
      : { ...reason, retryAfterMs: waited.retryAfterMs };

  // Readers are told to forget when nothing else is left, and not while somebody may still speak.
  const mayStandBeside = (step: Step): step is AttemptStep =>
    step.kind === 'attempt' && step.mode !== 'restart';

  /** The step to a target that is shut, when it is open again after the pause that it asked for. */
  function pauseThere(shut: readonly Route[], fault: Fault | undefined): Step | undefined {
    if (!fault || shut.length === 0) return undefined;
    const step = decide(routes, fault);
    if (step.kind !== 'attempt' || step.delayMs === 0 || !shut.includes(step.route))
      return undefined;
    return gate.opensAt(step.route) <= deps.now() + step.delayMs ? step : undefined;
  }

  function hedge(): AttemptStep | undefined {
    if (policy.onSlowFirstToken !== 'hedge') return undefined;
    const step = decide(look().open, slow);
    return mayStandBeside(step) && deps.mayHedge() ? step : undefined;
  }

  function fallback(fault: Fault): AttemptStep | undefined {
    reason = reasonAfter(reason, fault);
    const step = decide(look().open, fault);
    return mayStandBeside(step) ? step : undefined;
  }

  /** The end, but for a job that lacks only room: nobody waits on the line, and the queue keeps it. */
  function end(step: ClearEnd): ActivationOutcome | undefined {
    if (step.lacksRoom && !data.attached && gate.goBack()) return { kind: 'not_yet' };
    answer.fail(step);
    return answer.conclusion;
  }

  let isFirst = true;
  /**
   * When the line of an attempt may be called logged. The first one follows the seal, which has proved that
   * the log is ours: it is enough that the line is on its way before the call. Later ones wait for Redis.
   */
  function logged(): Promise<void> | undefined {
    const isProven = isFirst && isSurelyOurs();
    isFirst = false;
    return isProven ? writer.sent() : writer.flushed();
  }

  const contest = createContest({
    answer,
    logged,
    hedge,
    spareHedge: deps.spareHedge,
    fallback,
    signal,
    onError: deps.onError,
    handsOver: () => signal.reason === 'shutdown',
    waits: policy.onSlowFirstToken !== 'failover',
    enter: ({ route }) => gate.enter(route),
    call: ({ route, mode }, permit, sink, onSlow) =>
      deps.call({
        activation,
        target: route,
        permit,
        body:
          mode === 'start' || mode === 'restart'
            ? body
            : continueBody(body, mode, plainText(history.shown) ?? ''),
        mode,
        identity: history.shown.identity,
        accepted: history.tries.some(({ answered }) => answered),
        refusedStreamOptions: history.tries.some(
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
  onContest(contest);

  try {
    for (let fault: Fault | undefined; !signal.aborted;) {
      const { open, shut } = look();
      const step = pauseThere(shut, fault) ?? decide(open, fault);
      if (step.kind === 'fail' && shut.length > 0) {
        const later = decide([...open, ...shut], fault);
        // Rather late than never, where one that cannot be asked now may still do it.
        if (later.kind === 'attempt') {
          const helps = (route: Route) => decide([...open, route], fault).kind === 'attempt';
          const useful = shut.filter(helps);
          const waited = await gate.wait(useful.length > 0 ? useful : shut, need());
          if (waited.kind === 'retry') continue;
          if (waited.kind === 'not_yet') return waited;
          if (waited.kind === 'fault') answer.fail(fail({ history, reason }, why(waited.fault)));
          break;
        }
        // Why those failed that were asked, and not that nobody is left.
        if (later.kind === 'fail') return end(later);
        break;
      }
      if (step.kind === 'fail') return end(step);
      if (step.kind === 'complete') answer.complete();
      if (step.kind !== 'attempt') break;
      if (step.delayMs > 0) await sleep(step.delayMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      const entered = gate.enter(step.route);
      const permit = entered instanceof Promise ? await entered : entered;
      if (!permit) continue;
      if (signal.aborted) {
        permit.cancel();
        break;
      }
      const outcome = await contest.run(step, permit);
      if (outcome.kind !== 'fault') break;
      fault = outcome.fault;
      reason = reasonAfter(reason, fault);
    }
  } finally {
    gate.close();
  }
  return answer.conclusion;
}

const slow: Fault = {
  code: 'upstream_first_token_timeout',
  message: 'The provider sent no first token in time.',
};
