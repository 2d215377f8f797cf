import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '@millrace/shared/domain/fault';
import type { Activation, ActivationOutcome } from '@millrace/shared/queue/port';
import { createAnswer } from './answer.ts';
import type { LogWriter } from './append.ts';
import { createContest } from './contest.ts';
import type { AttemptStep, Contest } from './contest.ts';
import { continueBody } from './failover/continue-body.ts';
import type { History } from './failover/history.ts';
import { isReal, next } from './failover/next.ts';
import type { Step } from './failover/next.ts';
import { plainText } from './failover/shown.ts';
import { readTraits } from './failover/traits.ts';
import type { Policy, RunDeps } from './run.ts';

export type ClimbOptions = {
  activation: Activation;
  deps: RunDeps;
  body: string;
  history: History;
  writer: LogWriter;
  run: number;
  signal: AbortSignal;
  onContest(contest: Contest): void;
};

const defaultPolicy: Policy = {
  continuation: 'auto',
  onSlowFirstToken: 'hedge',
  holdToolCalls: true,
};

/**
 * Makes one step of the ladder after the other until the answer is whole, or nothing is left to try.
 * What each step is, `next` decides from what is known; undefined when the signal ended it.
 */
export async function climb(options: ClimbOptions): Promise<ActivationOutcome | undefined> {
  const { activation, deps, body, history, writer, run, signal, onContest } = options;
  const { data } = activation;
  const policy = deps.policy(data.model) ?? defaultPolicy;
  const traits = readTraits(body);
  const routes = deps.routes(data.targets, data.model);
  const { holdToolCalls } = policy;
  const { maxHeldChars, metrics, now } = deps;
  const answer = createAnswer({
    run,
    history,
    writer,
    holdToolCalls,
    maxHeldChars,
    metrics,
    now,
  });
  answer.closeLost();

  /** The last fault that tells why there is no answer. */
  let reason: Fault | undefined;
  const decide = (fault: Fault | undefined): Step =>
    next({
      routes,
      reader: data.reader,
      traits,
      continuation: data.continuation ?? policy.continuation,
      history,
      fault,
      reason,
      deadlineAt: data.deadlineAt,
      now: deps.now(),
      random: deps.random(),
    });

  function hedge(): AttemptStep | undefined {
    if (policy.onSlowFirstToken !== 'hedge') return undefined;
    const step = decide(slow);
    // Of this run: what others left open was ended when it began.
    const open = history.tries.filter((one) => one.outcome === 'open');
    if (step.kind !== 'attempt' || open.some((one) => isAt(one, step.route))) return undefined;
    // Readers are told to forget when nothing else is left, and not while somebody may still speak.
    if (step.mode === 'restart') return undefined;
    return deps.mayHedge() ? step : undefined;
  }

  const contest = createContest({
    answer,
    hedge,
    handsOver: () => signal.reason === 'shutdown',
    waits: policy.onSlowFirstToken !== 'failover',
    call: ({ route, mode }, sink, onSlow) =>
      deps.call({
        activation,
        target: route,
        body:
          mode === 'start' || mode === 'restart'
            ? body
            : continueBody(body, mode, plainText(history.shown) ?? ''),
        mode,
        identity: history.shown.identity,
        accepted: history.tries.some(({ answered }) => answered),
        sink,
        signal,
        onSlow,
      }),
  });
  onContest(contest);

  for (let fault: Fault | undefined; !signal.aborted;) {
    const step = decide(fault);
    if (step.kind === 'fail') answer.fail(step);
    if (step.kind === 'complete') answer.complete(body);
    if (step.kind !== 'attempt') break;
    if (step.delayMs > 0) await sleep(step.delayMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
    const outcome = await contest.run(step);
    if (outcome.kind !== 'fault') break;
    fault = outcome.fault;
    if (isReal(fault)) reason = fault;
  }
  return answer.conclusion;
}

type Place = { provider: string; model: string };

const isAt = (one: Place, other: Place): boolean =>
  one.provider === other.provider && one.model === other.model;

const slow: Fault = {
  code: 'upstream_first_token_timeout',
  message: 'The provider sent no first token in time.',
};
