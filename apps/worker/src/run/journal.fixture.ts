import { decodeEntry, kindOf } from '@millrace/shared/domain/entry';
import type { AttemptMode, Entry, TerminalKind } from '@millrace/shared/domain/entry';
import { createJournal } from './journal.ts';
import type { Journal } from './journal.ts';
import { emptyHistory } from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import { chunk } from '../continuation/history.fixture.ts';
import type { RunMetrics } from '../observe/metrics.ts';
import type { OutputGate } from './output-gate.ts';

/* What the tests of a run's answer do over and over: attempts that speak, and the lines they leave. */

export const primary = { provider: 'openai', model: 'gpt-4o', prefill: false };

export type JournalRig = {
  journal: Journal;
  history: History;
  /** What was written, in order. */
  lines: string[];
  kinds(): Entry['kind'][];
  entries(): Entry[];
  /** The deltas that readers were sent. */
  deltas(): unknown[];
  terminal(): TerminalKind | undefined;
  /** What was counted, in order: `rung outcome` of seams, `mode outcome` of attempts. */
  counted: string[];
  open(mode?: AttemptMode): GateRig;
};

export type GateRig = {
  gate: OutputGate;
  /** What it was told: `commit`, or why it was called off. */
  events: string[];
  /** A chunk, as the reader of a wire format would give it on. */
  chunk(delta: object, choice?: Parameters<typeof chunk>[1]): void;
  /** A text that is known to be nothing else. */
  text(content: string): void;
};

export function createJournalRig({
  history = emptyHistory(),
  run = 1,
  holdToolCalls = true,
  maxHeldChars = 1_000_000,
  loggedChars = 0,
  maxLogChars = 10_000_000,
  body = '{}',
  tools = false,
}: {
  history?: History;
  run?: number;
  holdToolCalls?: boolean;
  maxHeldChars?: number;
  loggedChars?: number;
  maxLogChars?: number;
  body?: string;
  tools?: boolean;
} = {}): JournalRig {
  const lines: string[] = [];
  let terminal: TerminalKind | undefined;
  const counted: string[] = [];
  const metrics: Pick<RunMetrics, 'seam' | 'attemptEnded'> = {
    seam: (strategy, outcome) => counted.push(`${strategy} ${outcome}`),
    attemptEnded: ({ mode }, { outcome }) => counted.push(`${mode} ${outcome}`),
  };
  const journal = createJournal({
    run,
    body,
    history,
    tools,
    holdToolCalls,
    metrics,
    maxHeldChars,
    hasLedger: false,
    loggedChars,
    maxLogChars,
    now: () => 1234,
    writer: {
      push: (line) => lines.push(line),
      pushDeferred: (line) => lines.push(line),
      end(line, kind) {
        lines.push(line);
        terminal = kind;
      },
      sent: () => undefined,
      flushed: () => undefined,
      jobEnded: false,
    },
  });
  const entries = () => lines.map(decodeEntry);

  return {
    journal,
    history,
    lines,
    counted,
    entries,
    kinds: () => lines.map(kindOf),
    deltas: () =>
      entries().flatMap((entry) => (entry.kind === 'chunk' ? deltasIn(entry.text) : [])),
    terminal: () => terminal,
    open(mode = 'start') {
      const events: string[] = [];
      const step = { kind: 'attempt', route: primary, mode, delayMs: 0 } as const;
      const gate = journal.open(step, {
        onCommit: () => events.push('commit'),
        onGiveUp: (reason) => events.push(reason),
      });
      return {
        gate,
        events,
        chunk(delta, choice) {
          const one = chunk(delta, choice);
          gate.sink.chunk(JSON.stringify(one), one, isVisible(delta));
        },
        text: (content) => gate.sink.plain(JSON.stringify(chunk({ content })), content),
      };
    },
  };
}

const deltasIn = (text: string): unknown[] =>
  (JSON.parse(text) as ReturnType<typeof chunk>).choices.map(({ delta, finish_reason: reason }) =>
    reason === null ? delta : { ...delta, finish: reason },
  );

const isVisible = (delta: object): boolean =>
  ('content' in delta && delta.content !== '') || 'tool_calls' in delta || 'reasoning' in delta;
