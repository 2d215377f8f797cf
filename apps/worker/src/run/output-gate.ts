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

/** A chunk on its way to the log. `content`: it adds nothing else. `visible`: a reader sees something. */
export type OutputChunk = { text: string; visible: boolean; chunk?: unknown; content?: string };

export type OutputGateOptions = {
  started: AttemptStarted;
  delivered: Delivered;
  /** The request offers tools. */
  tools: boolean;
  holdToolCalls: boolean;
  /** Characters of chunks that may wait in it, whatever they wait for. */
  maxHeldChars: number;
  /** Whether the log of the request holds as much as it may. */
  isLogFull(): boolean;
  /** Asks to become the answer; false if another attempt is it. */
  commit(): boolean;
  /** From here on readers are sent what it says. Called once, before the first word. */
  onFirstOutput(): void;
  write(output: OutputChunk): void;
  /** Its text is no continuation of what was shown. */
  onSeamFailed(outcome: SeamFailure): void;
  /** This attempt is no use. */
  onGiveUp(reason: GiveUpReason): void;
};

/** Why an attempt is given up: another one won, its text is no continuation, or it holds too much. */
export type GiveUpReason =
  | 'superseded'
  | 'no_continuation'
  | 'upstream_response_too_large'
  | 'response_too_large';

/**
 * One attempt's way to the readers. Its chunks pass, in this order: the splice filter, if a part of the answer was
 * delivered before; the commit, which one attempt of a race gets; the buffer of tool calls, which are sent whole; and
 * the hold-back, until there is something to see. Until then the attempt can fail without a trace.
 */
export type OutputGate = {
  readonly started: AttemptStarted;
  readonly sink: AnswerSink;
  /** The answer is complete: what is still held is written. False if it cannot stand. */
  finish(): boolean;
  /** Why it was called off; undefined where it was not. */
  readonly gaveUp: GiveUpReason | undefined;
  readonly usage: string | undefined;
  /** What its upstream sent, shown or not. */
  readonly sent: Sent;
  /** Characters of chunks that wait in it. */
  readonly heldChars: number;
  /** What its upstream has reported of its cost so far. */
  readonly reported: ReportedUsage | undefined;
};

export function createOutputGate(options: OutputGateOptions): OutputGate {
  const { started, delivered, commit, onFirstOutput, write, onSeamFailed, onGiveUp } = options;
  const strategy = strategyOf(started);
  const filter: SpliceFilter | undefined =
    strategy && createSpliceFilter(strategy, delivered, options.tools);
  const toolCalls = createToolCallBuffer(options.holdToolCalls);
  /** What may be said as soon as something of it is visible. */
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
      // Of one that spoke already, the log has the seam that it passed.
      if (pending) onSeamFailed(step.reason);
      stop('no_continuation');
      return;
    }
    // Until it has something new to say, it has only caught up.
    for (const chunk of step.chunks) {
      if (gaveUp) return;
      const text = JSON.stringify(chunk);
      emit({ text, chunk, visible: isProgress(chunk) });
    }
  }

  const heldChars = () => pendingChars + toolCalls.chars + (filter?.heldChars ?? 0);

  /** A provider that never comes to an end must fill neither the memory of the worker nor Redis. */
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

/** Tool calls are sent together, when their choice has its finish_reason: a half one is no use to anyone. */
function createToolCallBuffer(holds: boolean) {
  let held: OutputChunk[] = [];
  let chars = 0;
  const open = new Set<number>();
  return {
    /** What may be said now, in order. */
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
