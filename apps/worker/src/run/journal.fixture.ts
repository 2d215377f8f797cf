import { decodeEntry, kindOf } from '@millrace/shared/domain/entry';
import type { AttemptMode, Entry, TerminalKind } from '@millrace/shared/domain/entry';
import { createAnswer } from './journal.ts';
import type { Answer } from './journal.ts';
import { emptyHistory } from '../continuation/history.ts';
import type { History } from '../continuation/history.ts';
import { chunk } from '../continuation/history.fixture.ts';
import type { RunMetrics } from '../observe/metrics.ts';
import type { Voice } from './output-gate.ts';

/* What the tests of a run's answer do over and over: attempts that speak, and the lines they leave. */

export const primary = { provider: 'openai', model: 'gpt-4o', prefill: false };

export type Heard = {
  answer: Answer;
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
  open(mode?: AttemptMode): Speaker;
};

export type Speaker = {
  voice: Voice;
  /** What it was told: `floor`, or why it was called off. */
  told: string[];
  /** A chunk, as the reader of a wire format would give it on. */
  say(delta: object, choice?: Parameters<typeof chunk>[1]): void;
  /** A text that is known to be nothing else. */
  plain(content: string): void;
};

export function createHeard({
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
} = {}): Heard {
  const lines: string[] = [];
  let terminal: TerminalKind | undefined;
  const counted: string[] = [];
  const metrics: Pick<RunMetrics, 'seam' | 'attemptEnded'> = {
    seam: (rung, outcome) => counted.push(`${rung} ${outcome}`),
    attemptEnded: ({ mode }, { outcome }) => counted.push(`${mode} ${outcome}`),
  };
  const answer = createAnswer({
    run,
    body,
    history,
    tools,
    holdToolCalls,
    metrics,
    maxHeldChars,
    loggedChars,
    maxLogChars,
    now: () => 1234,
    writer: {
      push: (line) => lines.push(line),
      note: (line) => lines.push(line),
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
    answer,
    history,
    lines,
    counted,
    entries,
    kinds: () => lines.map(kindOf),
    deltas: () =>
      entries().flatMap((entry) => (entry.kind === 'chunk' ? deltasIn(entry.text) : [])),
    terminal: () => terminal,
    open(mode = 'start') {
      const told: string[] = [];
      const step = { kind: 'attempt', route: primary, mode, delayMs: 0 } as const;
      const voice = answer.open(step, {
        onFloor: () => told.push('floor'),
        giveUp: (reason) => told.push(reason),
      });
      return {
        voice,
        told,
        say(delta, choice) {
          const one = chunk(delta, choice);
          voice.sink.chunk(JSON.stringify(one), one, isVisible(delta));
        },
        plain: (content) => voice.sink.plain(JSON.stringify(chunk({ content })), content),
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
