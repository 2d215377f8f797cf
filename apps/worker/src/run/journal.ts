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
  promptReport,
  applyEntry,
  applyText,
  setSource,
} from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import type { NextStep } from '../continuation/plan.ts';
import { channelKey } from '../continuation/delivered.ts';
import { costOf, costOfCancelled, sentIn } from './ledger.ts';
import type { Cost, AttemptWork } from './ledger.ts';
import type { RunMetrics } from '../observe/metrics.ts';
import { createOutputGate, strategyOf } from './output-gate.ts';
import { unknownLast, visibleUsage } from './visible-usage.ts';
import type { LastAttempt, Usage } from './visible-usage.ts';
import type { GiveUpReason, OutputChunk, OutputGate } from './output-gate.ts';

export type JournalOptions = {
  run: number;
  /** The request, as the caller sent it. */
  body: string;
  /** The log's story so far; kept up to date with every line. */
  history: History;
  writer: LogWriter;
  /** The request offers tools. */
  tools: boolean;
  holdToolCalls: boolean;
  metrics: Pick<RunMetrics, 'attemptEnded' | 'seam'>;
  /** Characters of chunks that an attempt may keep back. */
  maxHeldChars: number;
  /** A part of the answer was written for its readers. Called each time. */
  onDelivered?: (() => void) | undefined;
  /** Characters of the lines that are in the log already, and that the log of a stream may have. */
  loggedChars: number;
  maxLogChars: number;
  now(): number;
};

type AttemptStep = Extract<NextStep, { kind: 'attempt' }>;

export type GateEvents = {
  /** The attempt is heard from now on. */
  onCommit(): void;
  onGiveUp(reason: GiveUpReason): void;
};

/** The run's side of the log: every line that it writes passes here, in order. */
export type Journal = {
  /** Writes the end of the attempts that other workers left open, each with what it is known to have cost. */
  closeLost(): void;
  /** Writes that an attempt starts; its chunks go to the output gate. */
  open(step: AttemptStep, events: GateEvents): OutputGate;
  /** The call of the attempt is not made after all: it costs nothing. */
  cancelCall(gate: OutputGate): void;
  /** Writes the attempt's ledger entry; true when the answer is whole by it. */
  ended(
    gate: OutputGate,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean;
  /** Writes that the attempt ends here for another worker to continue: it did not fail. */
  handOver(gate: OutputGate, firstTokenAt?: number): void;
  /** Counts and remembers the attempt: its run was stopped, and can write no more to the log. */
  abort(gate: OutputGate, firstTokenAt?: number): void;
  /** Writes the end of an answer that was whole but for it. */
  complete(): void;
  /** Writes the clear end of a request that nothing can save. */
  fail(step: Extract<NextStep, { kind: 'fail' }>): void;
  /** How the request ended; undefined while it has not. */
  readonly conclusion: ActivationOutcome | undefined;
};

export function createJournal(options: JournalOptions): Journal {
  const { run, body, history, writer, tools, holdToolCalls, maxHeldChars, maxLogChars } = options;
  const { metrics, onDelivered, now } = options;
  let conclusion: ActivationOutcome | undefined;
  /** The attempt that is the answer. */
  let winner: OutputGate | undefined;
  /** Estimated tokens that had been delivered when it committed. */
  let deliveredBefore = 0;
  /** By attempt: those that this run opened and that have no end yet. */
  const gates = new Map<number, OutputGate>();
  /** Attempts whose call was not made. */
  const uncalled = new Set<number>();
  /** Lines that changed what readers have. */
  let deliveries = 0;
  let logChars = options.loggedChars;

  function push(line: string): void {
    logChars += line.length;
    writer.push(line);
  }

  function write(entry: Entry): void {
    applyEntry(history, entry);
    push(encodeEntry(entry));
  }

  /** A line that no reader waits for. */
  function writeDeferred(entry: Entry): void {
    applyEntry(history, entry);
    const line = encodeEntry(entry);
    logChars += line.length;
    writer.pushDeferred(line);
  }

  /** Ends the attempts that are still open, by what is known of them. */
  function closeOpen(outcome: 'worker_lost' | 'superseded' | 'internal_error'): void {
    for (const { attempt } of history.attempts.filter((each) => each.outcome === 'open')) {
      const cost = costOfCancelled(workOf(attempt), outcome);
      writeDeferred({ kind: 'attempt_end', data: { run, attempt, at: now(), ...cost } });
    }
  }

  const ownPrompt = () => promptTokens(body);

  /** What an attempt is known to have done: one of this run, or one that the log tells of. */
  function workOf(attempt: number): AttemptWork {
    const one = history.attempts.find((each) => each.attempt === attempt);
    const { sent, reported } = gates.get(attempt) ?? {
      sent: { tokens: one?.tokens ?? 0, reasoning: 0 },
      reported: undefined,
    };
    const asked = () => {
      if (one?.mode !== 'continue' && one?.mode !== 'anchor') return ownPrompt();
      const text = history.delivered.texts.get(channelKey(0, 'content')) ?? '';
      return promptTokens(continuationBody(body, one.mode, text.slice(0, one.offset)));
    };
    return { sent, reported, asked, wasNotCalled: uncalled.has(attempt) };
  }

  function writeChunk({ text, content }: OutputChunk): void {
    deliveries += 1;
    onDelivered?.();
    if (content === undefined) write({ kind: 'chunk', text });
    else {
      applyText(history, content);
      push(chunkLine(text));
    }
  }

  /** The usage of the whole answer. `last`: the attempt that ended it. */
  const usageBy = (last: LastAttempt): Usage =>
    visibleUsage({
      prompt: ownPrompt,
      promptReport: promptReport(history),
      deliveredBefore,
      deliveredByLast: history.delivered.tokens - deliveredBefore,
      last,
    });

  /** Writes the usage of a streamed answer, unless its last chunks had it. `chunk`: its target's own, if any. */
  function writeUsage(usage: Usage, chunk: string | undefined): void {
    const text = JSON.stringify(usage);
    const isReported = (told: unknown) => JSON.stringify(told) === text;
    if (chunk === undefined && isReported(history.usage)) return;
    const bare = { ...history.delivered.identity, object: 'chat.completion.chunk', choices: [] };
    const own = chunk ?? JSON.stringify(bare);
    const isOwn = chunk !== undefined && isReported(usageOf(JSON.parse(chunk)));
    write({ kind: 'usage', text: isOwn ? own : setMembers(own, { usage: text }) });
  }

  function end(finishReason: string | null, usage: unknown): void {
    const attempts = history.attempts.length;
    history.usage = usage ?? history.usage;
    const done = { finishReason, usage, attempts, at: now() };
    conclusion = { kind: 'completed', summary: finishReason ?? 'completed' };
    writer.end(encodeEntry({ kind: 'done', data: done }), 'done', conclusion);
  }

  function open(step: AttemptStep, { onCommit, onGiveUp }: GateEvents): OutputGate {
    if (step.mode === 'restart') {
      deliveries += 1;
      write({ kind: 'reset', data: { reason: 'restart' } });
    }
    const deliveriesAtStart = deliveries;
    const { provider, model } = step.route;
    const attempt = history.attempts.length + 1;
    const started: AttemptStarted = { run, attempt, provider, model, mode: step.mode, at: now() };
    writeDeferred({ kind: 'attempt', data: started });
    const strategy = strategyOf(started);
    const offset = history.delivered.chars;
    const seam = (outcome: SeamRecord['outcome']) => {
      write({ kind: 'seam', data: { attempt, rung: step.mode, offset, outcome } });
      if (strategy) metrics.seam(strategy, outcome);
    };
    const gate: OutputGate = createOutputGate({
      started,
      delivered: history.delivered,
      tools,
      holdToolCalls,
      maxHeldChars,
      isLogFull: () => logChars > maxLogChars,
      commit() {
        if (winner !== undefined && winner !== gate) return false;
        // It goes on from what readers had when it was asked, and nothing else.
        if (deliveries !== deliveriesAtStart) return false;
        winner = gate;
        deliveredBefore = history.delivered.tokens;
        onCommit();
        return true;
      },
      onFirstOutput() {
        // One that begins the answer is known by its chunks, where no other may be taken for it.
        if (strategy || impliedSource(history)?.attempt !== attempt) seam('passed');
        else setSource(history, attempt);
      },
      write: writeChunk,
      onSeamFailed: seam,
      onGiveUp,
    });
    gates.set(attempt, gate);
    return gate;
  }

  /** An attempt's end as its ledger entry, and counted. */
  function settleCost({ started }: OutputGate, cost: Cost, firstTokenAt?: number): AttemptEnded {
    const data = { run, attempt: started.attempt, at: now(), firstTokenAt, ...cost };
    gates.delete(started.attempt);
    metrics.attemptEnded(started, data);
    return data;
  }

  function ended(
    gate: OutputGate,
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt?: number,
  ): boolean {
    const { attempt } = gate.started;
    // Its entry was written with the end.
    if (conclusion) {
      settleCost(gate, costOf(workOf(attempt), outcome, 'superseded'), firstTokenAt);
      return false;
    }
    const isWhole = outcome.kind === 'completed' && gate.finish();
    if (winner === gate && !isWhole) winner = undefined;
    const strategy = strategyOf(gate.started);
    if (isWhole && outcome.result) write({ kind: 'result', data: outcome.result });
    const known = workOf(attempt);
    const result = outcome.kind === 'completed' && !outcome.usage ? outcome.result : undefined;
    // What is not streamed was not counted on its way.
    const work = result ? { ...known, sent: sentIn(parseShallow(result.body)) } : known;
    const how = isWhole ? 'completed' : (gate.gaveUp ?? 'superseded');
    const cost = costOf(work, outcome, how);
    let usage: Usage | undefined;
    if (isWhole) {
      const { sent, asked } = work;
      usage = usageBy({ strategy, cost, asked, sent: sent.tokens - sent.reasoning });
      // A provider that ends its stream in order and counts nothing is shown as it is.
      const isUncounted = cost.estimated === 'all' && !outcome.isCut;
      if (!outcome.result && !isUncounted) writeUsage(usage, gate.usage);
    }
    const data = settleCost(gate, cost, firstTokenAt);
    if (outcome.kind === 'fault') data.detail = outcome.fault.detail;
    writeDeferred({ kind: 'attempt_end', data });
    if (!isWhole) return false;
    // One beside it that was silent to its end is called off only now.
    closeOpen('superseded');
    end(outcome.finishReason, usage);
    return true;
  }

  return {
    closeLost: () => closeOpen('worker_lost'),
    open,
    cancelCall: (gate) => void uncalled.add(gate.started.attempt),
    ended,
    handOver(gate, firstTokenAt) {
      const cost = costOfCancelled(workOf(gate.started.attempt), 'handed_over');
      const data = settleCost(gate, cost, firstTokenAt);
      writeDeferred({ kind: 'attempt_end', data });
    },
    abort(gate, firstTokenAt) {
      const cost = costOfCancelled(workOf(gate.started.attempt), 'aborted');
      history.stopped.push(settleCost(gate, cost, firstTokenAt));
    },
    complete() {
      const { delivered, result } = history;
      if (result) {
        const whole = parseShallow(result.body);
        end(finishReasons(whole)[0]?.reason ?? null, usageOf(whole));
        return;
      }
      // Its usage comes behind the last chunk, so the worker that had it has taken it along.
      if (history.usage === undefined) writeUsage(usageBy(unknownLast), undefined);
      end(delivered.finished.get(0) ?? null, history.usage);
    },
    fail(step) {
      // None is left, but where a bug has ended the run.
      closeOpen('internal_error');
      const { code, message } = step.failed.error;
      conclusion = { kind: 'failed', reason: `${code ?? 'error'}: ${message}` };
      const line = encodeEntry({ kind: 'failed', data: { ...step.failed, at: now() } });
      writer.end(line, 'failed', conclusion);
    },
    get conclusion() {
      return conclusion;
    },
  };
}
