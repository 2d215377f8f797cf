import { parseShallow } from '@millrace/shared/domain/json';
import { finishReasons, usageOf } from '@millrace/formats/openai-chat/chunk';
import { chunkLine, encodeEntry } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptStarted,
  Entry,
  SeamRecord,
} from '@millrace/shared/domain/entry';
import { setMembers } from '@millrace/shared/domain/json-text';
import type { ActivationOutcome } from '@millrace/shared/store/queue/port';
import type { LogWriter } from './append-writer.ts';
import type { AttemptOutcome } from './attempt.ts';
import { continuationBody, promptTokens } from '../continuation/continue-body.ts';
import {
  impliedSource,
  noteEnd,
  promptReport,
  applyEntry,
  applyText,
  setSource,
} from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import type { NextStep } from '../continuation/plan.ts';
import { channelKey } from '../continuation/delivered.ts';
import { costOf, costOfCancelled, sentIn } from './attempt-cost.ts';
import type { Cost, AttemptWork } from './attempt-cost.ts';
import type { RunMetrics } from '../observe/metrics.ts';
import { maxDetailChars } from './key-redaction.ts';
import { ledgerFacts } from './ledger-facts.ts';
import { createOutputGate, strategyOf } from './output-gate.ts';
import { unknownLast, visibleUsage } from './visible-usage.ts';
import type { LastAttempt, Usage } from './visible-usage.ts';
import type { GiveUpReason, OutputChunk, OutputGate } from './output-gate.ts';

export type JournalOptions = {
  run: number;
  /** The request, as the caller sent it. */
  body: string;
  /** The history of the log, updated with every line. */
  history: History;
  writer: LogWriter;
  /** The request offers tools. */
  tools: boolean;
  holdToolCalls: boolean;
  metrics: Pick<RunMetrics, 'attemptEnded' | 'seam'>;
  /** Characters of chunks that an attempt may hold back. */
  maxHeldChars: number;
  /** Called for each part of the answer that is written for readers. */
  onDelivered?: (() => void) | undefined;
  /** Characters of the lines in the log now, and the most that the log of a stream may have. */
  loggedChars: number;
  maxLogChars: number;
  /** The request gets a ledger entry when it ends. */
  hasLedger: boolean;
  now(): number;
};

type AttemptStep = Extract<NextStep, { kind: 'attempt' }>;

export type GateEvents = {
  /** The attempt is the answer from now on. */
  onCommit(): void;
  onGiveUp(reason: GiveUpReason): void;
};

/** A run's access to its log: every line that the run writes passes here, in order. */
export type Journal = {
  /** Writes the end of attempts that other workers left open, each with its known cost. */
  closeLost(): void;
  /** Writes the start of an attempt and returns its output gate. */
  open(step: AttemptStep, events: GateEvents): OutputGate;
  /** The call of the attempt is not made after all: it costs nothing. */
  cancelCall(gate: OutputGate): void;
  /** Writes the attempt's end; true if the attempt has completed the answer. */
  ended(
    gate: OutputGate,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean;
  /** Writes that the attempt ends so that another worker continues it: it did not fail. */
  handOver(gate: OutputGate, firstTokenAt?: number): void;
  /** Counts the attempt and keeps its end: its run was stopped and cannot write to the log any more. */
  abort(gate: OutputGate, firstTokenAt?: number): void;
  /** Writes the end of an answer of which only the end was missing. */
  complete(): void;
  /** Writes the failure of the request. */
  fail(step: Extract<NextStep, { kind: 'fail' }>): void;
  /** How the request ended; undefined while it has not. */
  readonly conclusion: ActivationOutcome | undefined;
};

export const createJournal = (options: JournalOptions): Journal => new RunJournal(options);

class RunJournal implements Journal {
  conclusion: ActivationOutcome | undefined;
  private readonly options: JournalOptions;
  private readonly history: History;
  /** The attempt that won. */
  private winner: OutputGate | undefined;
  /** Estimated tokens that had been delivered when it committed. */
  private deliveredBefore = 0;
  /** The gates of this run's open attempts, by attempt. */
  private readonly gates = new Map<number, OutputGate>();
  /** Attempts whose call was not made. */
  private readonly uncalled = new Set<number>();
  /** Number of lines that changed the delivered answer. */
  private deliveries = 0;
  private logChars: number;

  constructor(options: JournalOptions) {
    this.options = options;
    this.history = options.history;
    this.logChars = options.loggedChars;
  }

  closeLost(): void {
    this.closeOpen('worker_lost');
  }

  open(step: AttemptStep, events: GateEvents): OutputGate {
    if (step.mode === 'restart') {
      this.deliveries += 1;
      this.write({ kind: 'reset', data: { reason: 'restart' } });
    }
    const { run, now } = this.options;
    const { provider, model } = step.route;
    const attempt = this.history.attempts.length + 1;
    const started: AttemptStarted = { run, attempt, provider, model, mode: step.mode, at: now() };
    this.writeDeferred({ kind: 'attempt', data: started });
    const gate = this.openGate(started, events);
    this.gates.set(attempt, gate);
    return gate;
  }

  cancelCall({ started }: OutputGate): void {
    this.uncalled.add(started.attempt);
  }

  ended(
    gate: OutputGate,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean {
    const { attempt } = gate.started;
    // Its end was written when the request ended.
    if (this.conclusion) {
      this.settleCost(gate, costOf(this.workOf(attempt), outcome, 'superseded'), firstTokenAt);
      return false;
    }
    const isWhole = outcome.kind === 'completed' && gate.finish();
    if (this.winner === gate && !isWhole) this.winner = undefined;
    if (isWhole && outcome.result) this.write({ kind: 'result', data: outcome.result });
    const known = this.workOf(attempt);
    const result = outcome.kind === 'completed' && !outcome.usage ? outcome.result : undefined;
    // An answer that is not streamed was not counted by the gate.
    const work = result ? { ...known, sent: sentIn(parseShallow(result.body)) } : known;
    const how = isWhole ? 'completed' : (gate.gaveUp ?? 'superseded');
    const cost = costOf(work, outcome, how);
    const usage = isWhole ? this.usageOfWhole(gate, outcome, { work, cost }) : undefined;
    const data = this.settleCost(gate, cost, firstTokenAt);
    if (outcome.kind === 'fault') data.detail = outcome.fault.detail;
    this.writeDeferred({ kind: 'attempt_end', data });
    if (!isWhole) return false;
    // A concurrent attempt that sent nothing is aborted only now.
    this.closeOpen('superseded');
    this.end(outcome.finishReason, usage);
    return true;
  }

  handOver(gate: OutputGate, firstTokenAt?: number): void {
    const cost = costOfCancelled(this.workOf(gate.started.attempt), 'handed_over');
    const data = this.settleCost(gate, cost, firstTokenAt);
    this.writeDeferred({ kind: 'attempt_end', data });
  }

  abort(gate: OutputGate, firstTokenAt?: number): void {
    const cost = costOfCancelled(this.workOf(gate.started.attempt), 'aborted');
    const end = { ...this.settleCost(gate, cost, firstTokenAt), outcome: 'cancelled' };
    this.history.stopped.push(end);
    noteEnd(this.history, end);
  }

  complete(): void {
    const { delivered, result, usage } = this.history;
    if (result) {
      const whole = parseShallow(result.body);
      this.end(finishReasons(whole)[0]?.reason ?? null, usageOf(whole));
      return;
    }
    // The usage comes after the last chunk: the worker that died may have received it, but the log does not
    // have it.
    if (usage === undefined) this.writeUsage(this.usageBy(unknownLast), undefined);
    this.end(delivered.finished.get(0) ?? null, this.history.usage);
  }

  fail(step: Extract<NextStep, { kind: 'fail' }>): void {
    const { writer, now } = this.options;
    // Attempts are only open here after a bug.
    this.closeOpen('internal_error');
    const { code, failed } = step;
    const reason = `${code}: ${failed.error.message}`.slice(0, maxDetailChars);
    this.conclusion = { kind: 'failed', code, reason };
    const line = encodeEntry({ kind: 'failed', data: { ...failed, at: now() } });
    writer.end(line, 'failed', { outcome: this.conclusion, facts: this.facts() });
  }

  private push(line: string): void {
    this.logChars += line.length;
    this.options.writer.push(line);
  }

  private write(entry: Entry): void {
    applyEntry(this.history, entry);
    this.push(encodeEntry(entry));
  }

  /** A line that no reader waits for. */
  private writeDeferred(entry: Entry): void {
    applyEntry(this.history, entry);
    const line = encodeEntry(entry);
    this.logChars += line.length;
    this.options.writer.pushDeferred(line);
  }

  private writeChunk({ text, content }: OutputChunk): void {
    this.deliveries += 1;
    this.options.onDelivered?.();
    if (content === undefined) this.write({ kind: 'chunk', text });
    else {
      applyText(this.history, content);
      this.push(chunkLine(text));
    }
  }

  private openGate(started: AttemptStarted, { onCommit, onGiveUp }: GateEvents): OutputGate {
    const { history, options } = this;
    const { tools, holdToolCalls, maxHeldChars, maxLogChars, metrics } = options;
    const { attempt, mode } = started;
    const { deliveries } = this;
    const strategy = strategyOf(started);
    const offset = history.delivered.chars;
    const seam = (outcome: SeamRecord['outcome']) => {
      this.write({ kind: 'seam', data: { attempt, rung: mode, offset, outcome } });
      if (strategy) metrics.seam(strategy, outcome);
    };
    const gate: OutputGate = createOutputGate({
      started,
      delivered: history.delivered,
      tools,
      holdToolCalls,
      maxHeldChars,
      isLogFull: () => this.logChars > maxLogChars,
      commit: () => {
        if (this.winner !== undefined && this.winner !== gate) return false;
        // The attempt continues what was delivered when it started: any later delivery invalidates it.
        if (this.deliveries !== deliveries) return false;
        this.winner = gate;
        this.deliveredBefore = history.delivered.tokens;
        onCommit();
        return true;
      },
      onFirstOutput() {
        // An attempt that begins the answer needs no seam if its chunks imply it as their source.
        if (strategy || impliedSource(history)?.attempt !== attempt) seam('passed');
        else setSource(history, attempt);
      },
      write: (chunk) => this.writeChunk(chunk),
      onSeamFailed: seam,
      onGiveUp,
    });
    return gate;
  }

  /** Writes the end of all open attempts, with their known cost. */
  private closeOpen(outcome: 'worker_lost' | 'superseded' | 'internal_error'): void {
    const { run, now } = this.options;
    for (const { attempt } of this.history.attempts.filter((each) => each.outcome === 'open')) {
      const cost = costOfCancelled(this.workOf(attempt), outcome);
      this.writeDeferred({ kind: 'attempt_end', data: { run, attempt, at: now(), ...cost } });
    }
  }

  /** The known work of an attempt of this run, or of one that is only in the log. */
  private workOf(attempt: number): AttemptWork {
    const { history, gates, uncalled, options } = this;
    const one = history.attempts.find((each) => each.attempt === attempt);
    const { sent, reported } = gates.get(attempt) ?? {
      sent: { tokens: one?.tokens ?? 0, reasoning: 0 },
      reported: undefined,
    };
    const asked = () => {
      if (one?.mode !== 'continue' && one?.mode !== 'anchor') return promptTokens(options.body);
      const text = history.delivered.texts.get(channelKey(0, 'content')) ?? '';
      return promptTokens(continuationBody(options.body, one.mode, text.slice(0, one.offset)));
    };
    return { sent, reported, asked, wasNotCalled: uncalled.has(attempt) };
  }

  /** Counts an attempt's end and returns it. */
  private settleCost({ started }: OutputGate, cost: Cost, firstTokenAt?: number): AttemptEnded {
    const { run, metrics, now } = this.options;
    const data = { run, attempt: started.attempt, at: now(), firstTokenAt, ...cost };
    this.gates.delete(started.attempt);
    metrics.attemptEnded(started, data);
    return data;
  }

  /** The usage of the answer that this attempt completed; it is written if the answer is streamed. */
  private usageOfWhole(
    gate: OutputGate,
    outcome: Extract<AttemptOutcome, { kind: 'completed' }>,
    { work, cost }: { work: AttemptWork; cost: Cost },
  ): Usage {
    const { sent, asked } = work;
    const strategy = strategyOf(gate.started);
    const usage = this.usageBy({ strategy, cost, asked, sent: sent.tokens - sent.reasoning });
    // If a provider ends its stream in order and reports no usage, none is written.
    const isUncounted = cost.estimated === 'all' && !outcome.isCut;
    if (!outcome.result && !isUncounted) this.writeUsage(usage, gate.usage);
    return usage;
  }

  /** The usage of the whole answer. `last`: the attempt that ended it. */
  private usageBy(last: LastAttempt): Usage {
    const { history, deliveredBefore, options } = this;
    return visibleUsage({
      prompt: () => promptTokens(options.body),
      promptReport: promptReport(history),
      deliveredBefore,
      deliveredByLast: history.delivered.tokens - deliveredBefore,
      last,
    });
  }

  /**
   * Writes the usage of a streamed answer, unless readers have it. `chunk`: the target's own usage chunk, if
   * any.
   */
  private writeUsage(usage: Usage, chunk: string | undefined): void {
    const { history } = this;
    const text = JSON.stringify(usage);
    const isReported = (known: unknown) => JSON.stringify(known) === text;
    if (chunk === undefined && isReported(history.usage)) return;
    const bare = { ...history.delivered.identity, object: 'chat.completion.chunk', choices: [] };
    const own = chunk ?? JSON.stringify(bare);
    const isOwn = chunk !== undefined && isReported(usageOf(JSON.parse(chunk)));
    this.write({ kind: 'usage', text: isOwn ? own : setMembers(own, { usage: text }) });
  }

  private end(finishReason: string | null, usage: unknown): void {
    const { writer, now } = this.options;
    const attempts = this.history.attempts.length;
    this.history.usage = usage ?? this.history.usage;
    const done = { finishReason, usage, attempts, at: now() };
    this.conclusion = { kind: 'completed', summary: finishReason ?? 'completed' };
    const line = encodeEntry({ kind: 'done', data: done });
    writer.end(line, 'done', { outcome: this.conclusion, facts: this.facts() });
  }

  private facts(): ((at: number) => string) | undefined {
    const { hasLedger, body } = this.options;
    return hasLedger ? ledgerFacts(this.history, body) : undefined;
  }
}
