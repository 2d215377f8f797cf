import { randomUUID } from 'node:crypto';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import { clientFormatOf, innerRequest } from '@millrace/formats/client-formats';
import { compareEntryIds, encodeEntry } from '@millrace/shared/domain/entry';
import type { TerminalKind } from '@millrace/shared/domain/entry';
import type { Claim } from '@millrace/shared/domain/seal';
import type { SealOutcome } from '@millrace/shared/store/stream-log/port';
import type { Activation, ActivationOutcome } from '@millrace/shared/store/queue/port';
import { retryRefused } from '@millrace/shared/store/retry-refused';
import type { LogWriter } from './append-writer.ts';
import { runAttempts } from './attempt-loop.ts';
import type { LoopControl } from './attempt-loop.ts';
import { ledgerFacts } from './ledger-facts.ts';
import type { Race } from './race.ts';
import { emptyHistory } from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import { createHistoryReader } from '../continuation/history-reader.ts';
import { keptChars } from '../continuation/delivered.ts';
import { billableTokens } from './billable-tokens.ts';
import { viewRun } from './look.ts';
import type { Held, RunDeps, StopReason } from './port.ts';
import type { RunReport } from './report.ts';

/**
 * Milliseconds for which Redis may refuse writes temporarily (while it loads, or is a replica until a
 * failover is done) before the job is handed back. Its reader waits meanwhile, as it does for the appender.
 */
const refusedMs = 10_000;

/**
 * Milliseconds for which a seal proves that the log is this run's: less than the fleet needs to declare a
 * worker dead. A run that waited longer for its target, or whose process was blocked, may have lost its log
 * unnoticed.
 */
const freshSealMs = 1000;

/**
 * Serves one activation of a job: takes over the log, makes attempts until there is an answer, and ends the
 * log.
 *
 * It does not check whether the request still has a reader: an ingress reports a client that leaves at once,
 * and an ingress without a heartbeat may be about to return, as all of them are after a restart of Redis.
 * `orphans.ts` waits longer.
 */
export async function run(activation: Activation, deps: RunDeps): Promise<ActivationOutcome> {
  let outcome: ActivationOutcome | undefined;
  const startedAt = deps.now();
  deps.metrics.runStarted();
  deps.settlement.begin(activation);
  const active = new ActiveRun(activation, deps, startedAt);
  try {
    outcome = await active.outcome();
    return outcome;
  } finally {
    deps.settlement.forget(activation);
    deps.metrics.runEnded(outcome?.kind ?? 'error');
    if (outcome) {
      deps.onEnded?.({ ...active.report(), activation, startedAt, endedAt: deps.now(), outcome });
    }
  }
}

/** What a run has after it has taken over the log. */
type TakenOver = { sealed: Sealed; sealedAt: number; history: History; loggedChars: number };

/** One run: why it was stopped, and what it holds. */
class ActiveRun {
  private readonly activation: Activation;
  private readonly deps: RunDeps;
  private readonly claim: Claim;
  private readonly controller = new AbortController();
  private readonly timesLate: number;
  readonly startedAt: number;
  private stopped: StopReason | undefined;
  private race: Race | undefined;
  private loop: LoopControl | undefined;
  history: History | undefined;
  private run: number;
  private ended: RunReport['ended'];

  constructor(activation: Activation, deps: RunDeps, startedAt: number) {
    this.activation = activation;
    this.startedAt = startedAt;
    this.run = activation.number;
    this.deps = deps;
    this.claim = activation.sealed?.claim ?? {
      activation: activation.number,
      nonce: randomUUID(),
      worker: deps.worker,
    };
    this.timesLate = deps.timesLate();
  }

  async outcome(): Promise<ActivationOutcome> {
    const { activation, deps } = this;
    const onLockLost = () => this.stop('lock_lost');
    activation.lockLost.addEventListener('abort', onLockLost, { once: true });
    const unregister = deps.register(activation, {
      stop: (reason) => this.stop(reason),
      held: () => this.held(),
      look: () => viewRun(activation, this),
      move: (target) => this.loop?.move(target) ?? { kind: 'no_attempt' },
    });
    try {
      const taken = await this.takeOver();
      return 'kind' in taken ? taken : await this.serve(taken);
    } finally {
      unregister();
      activation.lockLost.removeEventListener('abort', onLockLost);
    }
  }

  report(): Pick<RunReport, 'run' | 'ended' | 'history'> {
    const { run, ended, history } = this;
    return { run, ended, history };
  }

  /** Why it waits for a target; undefined: it does not. */
  waits(): string | undefined {
    return this.loop?.waits();
  }

  private stop(reason: StopReason): void {
    // A shutdown says nothing about the log, so a later reason that does takes precedence.
    if (this.stopped === undefined || this.stopped === 'shutdown') this.stopped = reason;
    this.controller.abort(reason);
  }

  private held(): Held {
    return {
      attempts: this.race?.heldBytes ?? 0,
      delivered: this.history ? keptChars(this.history.delivered) : 0,
    };
  }

  /** Seals the log and reads it. Returns an outcome if there is nothing for this run to do. */
  private async takeOver(): Promise<TakenOver | ActivationOutcome> {
    const { activation, deps, claim } = this;
    const retryLimits = { withinMs: refusedMs, signal: this.controller.signal };
    let sealedAt = activation.sealed?.at ?? -Infinity;
    let sealed = activation.sealed?.outcome;
    // An old seal is renewed: another run may have taken the log since.
    if (!sealed || deps.now() - sealedAt >= freshSealMs) {
      // The same nonce again is the same claim.
      const taken = await retryRefused(() => deps.log.seal(activation.id, claim), retryLimits);
      if (taken.kind === 'refused') return this.giveUp(taken.error);
      sealed = taken.value;
      sealedAt = deps.now();
    }
    if (sealed.kind === 'fenced') return { kind: 'dropped' };
    if (sealed.kind !== 'sealed') {
      // If another component ended the request, that component settled it or nothing was: the estimate stays.
      deps.settlement.settle(activation, undefined);
      if (sealed.kind === 'ended') return endedBefore(sealed.by);
      return { kind: 'failed', reason: 'the request expired' };
    }
    const known = sealed;
    const loaded = await retryRefused(() => readHistory(deps, activation.id, known), retryLimits);
    if (loaded.kind === 'refused') return this.giveUp(loaded.error);
    return { sealed, sealedAt, ...loaded.value };
  }

  /** Makes the attempts and settles their cost. */
  private async serve(taken: TakenOver): Promise<ActivationOutcome> {
    const { activation, deps } = this;
    const { sealed, sealedAt, history, loggedChars } = taken;
    this.history = history;
    this.run = sealed.run;
    const writer = this.openLog(sealed, history);
    const isTranslated = clientFormatOf(activation.data.endpoint) !== undefined;
    if (isTranslated && isLarge(sealed.body)) await nextTurn();
    const { body, asked } = readRequest(activation, sealed.body);
    const conclusion = await runAttempts({
      activation,
      deps,
      body,
      asked,
      history,
      loggedChars,
      writer,
      run: sealed.run,
      isSealFresh: () => deps.timesLate() === this.timesLate && deps.now() - sealedAt < freshSealMs,
      signal: this.controller.signal,
      onRace: (current, loop) => {
        this.race = current;
        this.loop = loop;
      },
    });
    await writer.flushed();
    const { stopped } = this;
    const outcome = writer.jobEnded ? endedWithLog(conclusion) : conclude(stopped, conclusion);
    // A component that reads the log may mistake the end that this run wrote for one from outside.
    const endedOutside = stopped === 'finished' && !writer.jobEnded;
    if (outcome.kind === 'completed' || outcome.kind === 'failed') {
      const ending = endedOutside ? 'ended from outside' : outcome.kind;
      const tokens = billableTokens(ending, history, body);
      deps.settlement.settle(activation, tokens);
      this.ended = endedOutside ? 'outside' : outcome.kind;
    }
    if (endedOutside) await this.amend(history, body);
    return outcome;
  }

  private openLog({ run, last, entries }: Sealed, { times }: History): LogWriter {
    const { activation, deps, claim } = this;
    const { id } = activation;
    return deps.appender.open({
      id,
      run,
      nonce: claim.nonce,
      prev: last,
      entries,
      jobToken: activation.token,
      times,
      onRefused: (outcome) => {
        if (outcome === 'lost')
          deps.onError(new Error(`Redis lost lines of ${id}: the job is handed back`));
        if (outcome === 'damaged')
          deps.onError(new Error(`the data of ${id} in Redis is damaged: the run gives up`));
        this.stop(outcome === 'ended' ? 'finished' : outcome);
      },
      onPressure: (high) => (high ? this.race?.pause() : this.race?.resume()),
    });
  }

  /** Adds the cost of attempts that an end from outside aborted to the log, which already has its end. */
  private async amend(history: History, body: string): Promise<void> {
    const { activation, deps, claim } = this;
    const lines = history.stopped.map((data) => encodeEntry({ kind: 'attempt_end', data }));
    if (lines.length === 0 && !deps.hasLedger) return;
    const facts = deps.hasLedger ? ledgerFacts(history, body)() : undefined;
    await deps.log.amend(activation.id, claim.nonce, lines, facts).catch(deps.onError);
  }

  private giveUp(error: unknown): ActivationOutcome {
    this.deps.onError(error);
    return conclude(this.stopped, undefined);
  }
}

/** The queue gets the outcome that the log has, also for a job that was retried with BullMQ's own tools. */
const endedBefore = (by: TerminalKind): ActivationOutcome =>
  by === 'failed'
    ? { kind: 'failed', reason: 'had failed already: a retried job is not asked for again' }
    : { kind: 'completed', summary: 'had ended already' };

/**
 * The log and the job have ended together, whatever stopped this run in the meantime (the end releases the
 * lock).
 */
const endedWithLog = (conclusion: ActivationOutcome | undefined): ActivationOutcome =>
  conclusion?.kind === 'completed' || conclusion?.kind === 'failed'
    ? { ...conclusion, jobEnded: true }
    : { kind: 'dropped' };

/** The outcome for the queue. A stop counts only if the answer had not ended before. */
function conclude(
  stopped: StopReason | undefined,
  conclusion: ActivationOutcome | undefined,
): ActivationOutcome {
  if (stopped === 'fenced' || stopped === 'lock_lost') return { kind: 'dropped' };
  if (stopped === 'finished') return { kind: 'completed', summary: 'ended from outside' };
  if (stopped === 'damaged') return { kind: 'failed', reason: 'it is damaged in Redis' };
  // The log does not have the answer's end.
  if (stopped === 'lost') return { kind: 'handed_back' };
  if (conclusion) return conclusion;
  if (stopped === 'gone') return { kind: 'failed', reason: 'the request expired' };
  return { kind: 'handed_back' };
}

/** The request in the inner form, and as its client sent it where that is another format. */
function readRequest({ data }: Activation, text: string) {
  const { body, inexpressible } = innerRequest(data.endpoint, text);
  const asked = clientFormatOf(data.endpoint) && { body: text, inexpressible };
  return { body, asked };
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
  for (const { at, texts } of past.entries) {
    texts.forEach(recall);
    history.times.readAt(at);
  }
  for (let after = past.through, more = compareEntryIds(after, last) < 0; more;) {
    const read = await log.read(id, after, readBytes, { timed: true });
    if (!read) break;
    for (const { text, at } of read.lines) {
      recall(text);
      history.times.readAt(at);
    }
    const newest = read.lines.at(-1);
    if (newest) after = newest;
    more = read.more && newest !== undefined;
  }
  return { history, loggedChars };
}
