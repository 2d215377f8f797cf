import { randomUUID } from 'node:crypto';
import { compareEntryIds, encodeEntry } from '@millrace/shared/domain/entry';
import type { AttemptMode, TerminalKind } from '@millrace/shared/domain/entry';
import type { Continuation, Target } from '@millrace/shared/domain/request';
import type { SealOutcome, StreamLog } from '@millrace/shared/store/stream-log/port';
import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { retryRefused } from '@millrace/shared/store/retry-refused';
import type { QuotaSettlement } from '../quota/settlement.ts';
import type { Appender } from './appender.ts';
import type { Attempt } from './attempt.ts';
import { runAttempts } from './attempt-loop.ts';
import type { Race } from './race.ts';
import { emptyHistory } from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import { createHistoryReader } from '../continuation/history-reader.ts';
import type { Route } from '../continuation/plan.ts';
import { keptChars } from '../continuation/delivered.ts';
import type { Identity } from '../continuation/delivered.ts';
import type { TargetAccess, TargetAccessRequest, Permit } from '../upstream/target-access.ts';
import type { TimeLimit } from '../continuation/time-limit.ts';
import type { RunMetrics } from '../observe/metrics.ts';
import type { AnswerSink } from '@millrace/formats/port';
import { billableTokens } from './billable-tokens.ts';

/** Why a run was told to stop. */
export type StopReason =
  /** The request got its terminal entry from outside. */
  | 'finished'
  /** Another run has the log. */
  | 'fenced'
  /** The log came to the end of its life. */
  | 'gone'
  /** Redis lost lines of the log, as in a failover: another run goes on from what is left. */
  | 'lost'
  /** What Redis has of the request is damaged: no run can go on with it. */
  | 'damaged'
  /** BullMQ's lock could not be renewed. */
  | 'lock_lost'
  /** The worker shuts down: somebody else shall go on. */
  | 'shutdown';

export type RunDeps = {
  log: Pick<StreamLog, 'seal' | 'read' | 'amend'>;
  appender: Appender;
  worker: string;
  metrics: RunMetrics;
  settlement: QuotaSettlement;
  /** Characters of chunks that an attempt may keep back, and of text that a run keeps to continue from. */
  maxHeldChars: number;
  /** Characters of the lines that the log of a stream may have. */
  maxLogChars: number;
  /** What the config says of the model; undefined when it does not know it. */
  policy(model: string): Policy | undefined;
  /** The targets of the job as this worker can reach them. */
  routes(targets: readonly Target[], model: string): Route[];
  /** The request's way to its targets. */
  openTargets(request: TargetAccessRequest): TargetAccess;
  /** Starts the upstream call of an attempt. */
  call(options: CallOptions): Attempt;
  /** Whether one more attempt may start beside a slow one, now. */
  mayHedge(): boolean;
  /** The one that might did not start. */
  returnHedge(): void;
  /** Makes the run reachable for a stop and for its sizes, until the returned function is called. */
  register(
    activation: Activation,
    stop: (reason: StopReason) => void,
    held: () => Held,
  ): () => void;
  /** How often this process stood still, as `LateLoop` has it. */
  timesLate(): number;
  /** Hears of bugs, which end one request only, and why a run gave up. */
  onError(error: unknown): void;
  now(): number;
  /** Between 0 and 1. */
  random(): number;
};

/** Bytes of an answer that a run has: what its attempts hold back, and what it remembers of the text shown. */
export type Held = { attempts: number; delivered: number };

export type Policy = {
  continuation: Continuation;
  onSlowFirstToken: 'hedge' | 'failover' | 'wait';
  holdToolCalls: boolean;
  /** Of the whole request, from its first attempt on. */
  timeoutMs: number;
};

export type CallOptions = {
  activation: Activation;
  target: Target;
  permit: Permit;
  /** In the inner form, as this attempt asks. */
  body: string;
  mode: AttemptMode;
  identity: Identity | undefined;
  /** Some target began to answer the request: one that refuses it now is no judge of it. */
  wasAccepted: boolean;
  /** The target refused this request for `stream_options`: it is asked again without. */
  refusedStreamOptions: boolean;
  /** The end of the request's time. */
  limit: TimeLimit;
  sink: AnswerSink;
  signal: AbortSignal;
  onSlow: (() => void) | undefined;
  onError(error: unknown): void;
};

/**
 * How long Redis may refuse for now (it loads, it is a replica until the failover is done) before the
 * job is handed back; milliseconds. Its reader waits meanwhile, as it does for the appender.
 */
const refusedMs = 10_000;

/**
 * Milliseconds for which a seal proves that the log is this run's; less than the fleet needs to take a worker
 * for dead. A run that waits longer for its target may have lost its log unheard, as one that stood still.
 */
const freshSealMs = 1000;

/**
 * One activation of a job: takes the log over, makes attempts until there is an answer, and ends it.
 *
 * Whether anybody still reads it is no question here: a client that leaves is told by its ingress at
 * once, and an ingress that is not heard of at this moment may be on its way back, as all of them are
 * after a restart of Redis. `orphans.ts` looks for longer.
 */
export async function run(activation: Activation, deps: RunDeps): Promise<ActivationOutcome> {
  let outcome: ActivationOutcome | undefined;
  deps.metrics.runStarted();
  deps.settlement.begin(activation);
  try {
    outcome = await runActivation(activation, deps);
    return outcome;
  } finally {
    deps.settlement.forget(activation);
    deps.metrics.runEnded(outcome?.kind ?? 'error');
  }
}

async function runActivation(activation: Activation, deps: RunDeps): Promise<ActivationOutcome> {
  const { log, worker } = deps;
  const { id } = activation;
  const claim = activation.sealed?.claim ?? {
    activation: activation.number,
    nonce: randomUUID(),
    worker,
  };
  const { nonce } = claim;
  const controller = new AbortController();
  const { signal } = controller;
  let stopped: StopReason | undefined;
  let race: Race | undefined;
  let history: History | undefined;
  const stop = (reason: StopReason) => {
    // A shutdown says nothing of the log: what becomes known of it counts for more.
    if (stopped === undefined || stopped === 'shutdown') stopped = reason;
    controller.abort(reason);
  };
  const onLockLost = () => stop('lock_lost');
  activation.lockLost.addEventListener('abort', onLockLost, { once: true });
  const unregister = deps.register(activation, stop, () => ({
    attempts: race?.heldBytes ?? 0,
    delivered: history ? keptChars(history.delivered) : 0,
  }));
  const retryLimits = { withinMs: refusedMs, signal };

  try {
    const timesLate = deps.timesLate();
    let sealedAt = activation.sealed?.at ?? -Infinity;
    let sealed = activation.sealed?.outcome;
    // An old seal is asked for again: its log may have been taken over since.
    if (!sealed || deps.now() - sealedAt >= freshSealMs) {
      // The same nonce again is the same claim.
      const taken = await retryRefused(() => log.seal(id, claim), retryLimits);
      if (taken.kind === 'refused') return giveUp(taken.error);
      sealed = taken.value;
      sealedAt = deps.now();
    }
    if (sealed.kind === 'fenced') return { kind: 'dropped' };
    if (sealed.kind !== 'sealed') {
      // Settled by who ended it, or by nobody: its estimate stays.
      deps.settlement.settle(activation, undefined);
      if (sealed.kind === 'ended') return endedBefore(sealed.by);
      return { kind: 'failed', reason: 'the request expired' };
    }

    const loaded = await retryRefused(() => readHistory(deps, id, sealed), retryLimits);
    if (loaded.kind === 'refused') return giveUp(loaded.error);
    const { loggedChars } = loaded.value;
    history = loaded.value.history;

    const writer = deps.appender.open({
      id,
      run: sealed.run,
      nonce,
      prev: sealed.last,
      entries: sealed.entries,
      jobToken: activation.token,
      onRefused(outcome) {
        if (outcome === 'lost') deps.onError(new Error(`Redis lost lines of ${id}: handed back`));
        if (outcome === 'damaged') deps.onError(new Error(`${id} is damaged in Redis: given up`));
        stop(outcome === 'ended' ? 'finished' : outcome);
      },
      onPressure: (high) => (high ? race?.pause() : race?.resume()),
    });
    const attempts = runAttempts({
      activation,
      deps,
      body: sealed.body,
      history,
      loggedChars,
      writer,
      run: sealed.run,
      isSealFresh: () => deps.timesLate() === timesLate && deps.now() - sealedAt < freshSealMs,
      signal,
      onRace: (current) => (race = current),
    });
    const conclusion = await attempts;
    await writer.flushed();
    const outcome = writer.jobEnded ? endedWithLog(conclusion) : conclude(stopped, conclusion);
    // A component that reads the log may take the end that this run wrote for one from outside.
    const endedOutside = stopped === 'finished' && !writer.jobEnded;
    if (outcome.kind === 'completed' || outcome.kind === 'failed') {
      const ending = endedOutside ? 'ended from outside' : outcome.kind;
      const tokens = billableTokens(ending, history, sealed.body);
      deps.settlement.settle(activation, tokens);
    }
    if (endedOutside) await amend(history);
    return outcome;
  } finally {
    unregister();
    activation.lockLost.removeEventListener('abort', onLockLost);
  }

  /** The log has its end already: what the attempts cost that were called off with it stands beside it. */
  async function amend({ stopped: attempts }: History): Promise<void> {
    if (attempts.length === 0) return;
    const lines = attempts.map((data) =>
      encodeEntry({ kind: 'attempt_end', data: { ...data, outcome: 'cancelled' } }),
    );
    await log.amend(id, nonce, lines).catch(deps.onError);
  }

  function giveUp(error: unknown): ActivationOutcome {
    deps.onError(error);
    return conclude(stopped, undefined);
  }
}

/** What the queue says of a request is what its log says, also of a job that was retried with BullMQ's own tools. */
const endedBefore = (by: TerminalKind): ActivationOutcome =>
  by === 'failed'
    ? { kind: 'failed', reason: 'had failed already: a retried job is not asked for again' }
    : { kind: 'completed', summary: 'had ended already' };

/** The log has its end and the job with it, whatever this run was told meanwhile (its lock ended along). */
const endedWithLog = (conclusion: ActivationOutcome | undefined): ActivationOutcome =>
  conclusion?.kind === 'completed' || conclusion?.kind === 'failed'
    ? { ...conclusion, jobEnded: true }
    : { kind: 'dropped' };

/** What the queue is told. A stop counts only where the answer had not ended before it. */
function conclude(
  stopped: StopReason | undefined,
  conclusion: ActivationOutcome | undefined,
): ActivationOutcome {
  if (stopped === 'fenced' || stopped === 'lock_lost') return { kind: 'dropped' };
  if (stopped === 'finished') return { kind: 'completed', summary: 'ended from outside' };
  if (stopped === 'damaged') return { kind: 'failed', reason: 'it is damaged in Redis' };
  // However its answer ended: the log does not have it.
  if (stopped === 'lost') return { kind: 'handed_back' };
  if (conclusion) return conclusion;
  if (stopped === 'gone') return { kind: 'failed', reason: 'the request expired' };
  return { kind: 'handed_back' };
}

/** Bytes of one read of the log. */
const readBytes = 256 * 1024;

type Sealed = Extract<SealOutcome, { kind: 'sealed' }>;

async function readHistory(
  { log, maxHeldChars }: RunDeps,
  id: string,
  { past, last }: Sealed,
): Promise<{ history: History; loggedChars: number }> {
  const history = emptyHistory(maxHeldChars);
  const recallLine = createHistoryReader(history);
  let loggedChars = 0;
  const recall = (line: string) => {
    loggedChars += line.length;
    recallLine(line);
  };
  past.texts.forEach(recall);
  for (let after = past.through, more = compareEntryIds(after, last) < 0; more;) {
    const read = await log.read(id, after, readBytes);
    if (!read) break;
    for (const line of read.lines) recall(line.text);
    const newest = read.lines.at(-1);
    if (newest) after = newest;
    more = read.more && newest !== undefined;
  }
  return { history, loggedChars };
}
