import { chunkLine, encodeEntry, usageLine } from '@millrace/shared/domain/entry';
import type { AttemptStarted, Entry } from '@millrace/shared/domain/entry';
import type { ActivationOutcome } from '@millrace/shared/queue/port';
import type { LogWriter } from './append.ts';
import type { AttemptOutcome } from './attempt.ts';
import { remember } from './failover/next.ts';
import type { History, Step } from './failover/next.ts';
import type { AnswerSink } from './provider/port.ts';

export type AnswerOptions = {
  run: number;
  history: History;
  writer: LogWriter;
  now(): number;
};

/** The run's side of the log: every line that it writes passes here, in order. */
export type Answer = {
  /** The log as it stands with this run's lines. */
  readonly history: History;
  /** Writes that an attempt starts; what it brings goes to the sink. */
  start(step: Extract<Step, { kind: 'attempt' }>): AnswerSink;
  /** Writes the attempt's ledger entry, and the end of the answer when it completed one. */
  ended(
    outcome: Exclude<AttemptOutcome, { kind: 'aborted' }>,
    firstTokenAt: number | undefined,
  ): void;
  /** Writes the clear end of a request that nothing can save. */
  fail(step: Extract<Step, { kind: 'fail' }>): void;
  /** How the request ended; undefined while it has not. */
  readonly conclusion: ActivationOutcome | undefined;
};

export function createAnswer({ run, history: initial, writer, now }: AnswerOptions): Answer {
  let history = initial;
  let current: AttemptStarted | undefined;
  let heldUsage: string | undefined;
  let conclusion: ActivationOutcome | undefined;
  /** Chunks before the first visible one: until then the attempt can fail without a trace. */
  let held: string[] | undefined;

  function write(entry: Entry): void {
    history = remember(history, entry);
    writer.push(encodeEntry(entry));
  }

  function showHeld(): void {
    const lines = held ?? [];
    held = undefined;
    if (lines.length > 0) history = { ...history, shown: true };
    for (const line of lines) writer.push(line);
  }

  const sink: AnswerSink = {
    chunk(text, visible) {
      const line = chunkLine(text);
      if (held) {
        held.push(line);
        if (visible) showHeld();
      } else writer.push(line);
    },
    usage(text) {
      heldUsage = usageLine(text);
    },
  };

  return {
    get history() {
      return history;
    },

    start(step) {
      if (step.mode === 'restart') write({ kind: 'reset', data: { reason: 'restart' } });
      held = [];
      heldUsage = undefined;
      current = {
        run,
        attempt: history.attempts + 1,
        provider: step.target.provider,
        model: step.target.model,
        mode: step.mode,
        at: now(),
      };
      const entry: Entry = { kind: 'attempt', data: current };
      history = remember(history, entry);
      writer.note(encodeEntry(entry));
      return sink;
    },

    ended(outcome, firstTokenAt) {
      const completed = outcome.kind === 'completed';
      if (completed) {
        showHeld();
        if (outcome.result) write({ kind: 'result', data: outcome.result });
        if (heldUsage !== undefined) writer.push(heldUsage);
      }
      held = undefined;
      if (!current) return;
      write({
        kind: 'attempt_end',
        data: {
          run,
          attempt: current.attempt,
          at: now(),
          firstTokenAt,
          outcome: completed ? 'completed' : outcome.fault.code,
          usage: completed ? outcome.usage : undefined,
        },
      });
      if (!completed) return;
      const { finishReason, usage } = outcome;
      const done = encodeEntry({
        kind: 'done',
        data: { finishReason, usage, attempts: history.attempts, at: now() },
      });
      writer.end(done, 'done');
      conclusion = { kind: 'completed', summary: finishReason ?? 'completed' };
    },

    fail(step) {
      writer.end(encodeEntry({ kind: 'failed', data: { ...step.failed, at: now() } }), 'failed');
      const { code, message } = step.failed.error;
      conclusion = { kind: 'failed', reason: `${code ?? 'error'}: ${message}` };
    },

    get conclusion() {
      return conclusion;
    },
  };
}
