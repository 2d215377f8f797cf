import { nativeMember } from '@millrace/formats/client-port';
import { parseShallow, isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { AttemptStarted } from '@millrace/shared/domain/entry';
import { deltaOf, finishReasons, hasToolCall } from '@millrace/formats/openai-chat/chunk';
import { tokensIn } from '@millrace/shared/domain/tokens';
import { createSpliceFilter } from '../continuation/splice-filter.ts';
import type { SpliceFilter, FilterStep } from '../continuation/splice-filter.ts';
import type { ContinuationStrategy } from '../continuation/strategies.ts';
import { isProgress } from '../continuation/progress.ts';
import type { SeamFailure } from '../continuation/splice/splice.ts';
import type { Delivered } from '../continuation/delivered.ts';
import { sentIn, reportedIn } from './attempt-cost.ts';
import type { Sent, ReportedUsage } from './attempt-cost.ts';
import type { AnswerSink } from '@millrace/formats/port';

/**
 * A chunk on its way to the log. `content` is set if it adds only that text. `visible`: a reader gets
 * something to see.
 */
export type OutputChunk = { text: string; visible: boolean; chunk?: unknown; content?: string };

export type OutputGateOptions = {
  started: AttemptStarted;
  delivered: Delivered;
  /** The request offers tools. */
  tools: boolean;
  holdToolCalls: boolean;
  /** The most characters of chunks that may wait in the gate. */
  maxHeldChars: number;
  /** Whether the request's log has reached its bound. */
  isLogFull(): boolean;
  /** Claims the answer for this attempt; false if another attempt has it. */
  commit(): boolean;
  /** Called once, before the first text of this attempt is delivered. */
  onFirstOutput(): void;
  write(output: OutputChunk): void;
  /** The attempt's text does not continue the delivered text. */
  onSeamFailed(outcome: SeamFailure): void;
  /** The attempt cannot become the answer. */
  onGiveUp(reason: GiveUpReason): void;
};

/** Why an attempt is given up: another one won, its text is no continuation, or it is too large. */
export type GiveUpReason =
  | 'superseded'
  | 'no_continuation'
  | 'upstream_response_too_large'
  | 'response_too_large';

/**
 * The output path of one attempt. Its chunks pass, in this order: the splice filter, if a part of the answer
 * was delivered before; the commit, which one attempt of a race gets; the buffer of tool calls, which are
 * sent whole; and the hold-back, until something is visible. Until then the attempt can fail without a trace.
 */
export type OutputGate = {
  readonly started: AttemptStarted;
  readonly sink: AnswerSink;
  /** The answer is complete: writes what is still held. False if it cannot become the answer. */
  finish(): boolean;
  /** Why it was given up; undefined if it was not. */
  readonly gaveUp: GiveUpReason | undefined;
  readonly usage: string | undefined;
  /** What its upstream sent, delivered or not. */
  readonly sent: Sent;
  /** Characters of chunks that wait in it. */
  readonly heldChars: number;
  /** The usage that its upstream has reported so far. */
  readonly reported: ReportedUsage | undefined;
};

export function createOutputGate(options: OutputGateOptions): OutputGate {
  const { started, delivered, commit, onFirstOutput, write, onSeamFailed, onGiveUp } = options;
  const strategy = strategyOf(started);
  const filter: SpliceFilter | undefined =
    strategy && createSpliceFilter(strategy, delivered, options.tools);
  const toolCalls = createToolCallBuffer(options.holdToolCalls);
  /** Chunks that are written as soon as one of them is visible. */
  let pending: OutputChunk[] | undefined = [];
  let pendingChars = 0;
  let isCommitted = false;
  let gaveUp: GiveUpReason | undefined;
  let usage: string | undefined;
  const sent: Sent = { tokens: 0, reasoning: 0 };
  let reported: ReportedUsage | undefined;

  function stop(reason: GiveUpReason): void {
    gaveUp = reason;
    onGiveUp(reason);
  }

  function tryCommit(): boolean {
    if (isCommitted) return true;
    isCommitted = commit();
    if (!isCommitted) stop('superseded');
    return isCommitted;
  }

  function emit(output: OutputChunk): void {
    if (output.visible && !tryCommit()) return;
    for (const one of toolCalls.take(output)) release(one);
  }

  function release(output: OutputChunk): void {
    if (!pending) {
      write(output);
      return;
    }
    pending.push(output);
    pendingChars += output.text.length;
    if (output.visible) releasePending();
  }

  function releasePending(): void {
    if (!pending) return;
    const held = pending;
    pending = undefined;
    pendingChars = 0;
    onFirstOutput();
    for (const one of held) write(one);
  }

  function afterFilter(step: FilterStep): void {
    if (step.kind === 'held') return;
    if (step.kind === 'dropped') {
      // If the attempt has delivered text, the log already has its passed seam.
      if (pending) onSeamFailed(step.reason);
      stop('no_continuation');
      return;
    }
    // Repeated chunks are not progress, so they do not commit the attempt.
    for (const { [nativeMember]: _native, ...chunk } of step.chunks) {
      if (gaveUp) return;
      const text = JSON.stringify(chunk);
      emit({ text, chunk, visible: isProgress(chunk) });
    }
  }

  const heldChars = () => pendingChars + toolCalls.chars + (filter?.heldChars ?? 0);

  /** An endless answer must fill neither the worker's memory nor Redis. */
  function checkBounds(): void {
    if (gaveUp) return;
    if (heldChars() > options.maxHeldChars) stop('upstream_response_too_large');
    else if (options.isLogFull()) stop('response_too_large');
  }

  return {
    started,
    sink: {
      plain(text, content) {
        sent.tokens += tokensIn(content);
        if (gaveUp) return;
        if (filter) afterFilter(filter.take(parseShallow(text), text.length));
        else emit({ text, content, visible: true });
        checkBounds();
      },
      chunk(text, chunk, visible) {
        const { tokens, reasoning } = sentIn(chunk);
        sent.tokens += tokens;
        sent.reasoning += reasoning;
        if (gaveUp) return;
        if (filter) afterFilter(filter.take(chunk, text.length));
        else emit({ text, chunk, visible });
        checkBounds();
      },
      usage(text) {
        usage = text;
        reported = reportedIn(parseShallow(text), sent.tokens) ?? reported;
      },
    },
    finish() {
      if (gaveUp) return false;
      if (filter) afterFilter(filter.end());
      if (gaveUp || !tryCommit()) return false;
      releasePending();
      for (const one of toolCalls.release()) write(one);
      return true;
    },
    get gaveUp() {
      return gaveUp;
    },
    get usage() {
      return usage;
    },
    sent,
    get heldChars() {
      return heldChars();
    },
    get reported() {
      return reported;
    },
  };
}

/** The strategy of an attempt that continues an answer; undefined for one that starts anew. */
export function strategyOf({ mode }: AttemptStarted): ContinuationStrategy | undefined {
  return mode === 'start' || mode === 'restart' ? undefined : mode;
}

/** Tool calls are sent together when their choice has its finish_reason: a client cannot use half of one. */
function createToolCallBuffer(holds: boolean) {
  let held: OutputChunk[] = [];
  let chars = 0;
  const open = new Set<number>();
  return {
    /** The chunks that may be sent now, in order. */
    take(output: OutputChunk): readonly OutputChunk[] {
      if (!holds || output.chunk === undefined) return pass(output);
      const { chunk } = output;
      for (const [place, choice] of choicesOf(chunk).entries()) {
        const delta = deltaOf(choice);
        if (delta && hasToolCall(delta)) open.add(indexOf(choice, place));
      }
      for (const { index } of finishReasons(chunk)) open.delete(index);
      return pass(output);
    },
    release,
    get chars() {
      return chars;
    },
  };

  function pass(output: OutputChunk): readonly OutputChunk[] {
    if (open.size === 0 && held.length === 0) return [output];
    held.push(output);
    chars += output.text.length;
    return open.size > 0 ? [] : release();
  }

  function release(): readonly OutputChunk[] {
    const free = held;
    held = [];
    chars = 0;
    return free;
  }
}

const choicesOf = (chunk: unknown): readonly unknown[] =>
  isJsonObject(chunk) ? itemsOf(chunk['choices']) : [];

const indexOf = (choice: unknown, place: number): number => {
  const index = isJsonObject(choice) ? choice['index'] : undefined;
  return typeof index === 'number' ? index : place;
};
