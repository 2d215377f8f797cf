import type { AttemptMode, Entry } from '@millrace/shared/domain/entry';
import type { Fault, FaultCode } from '@millrace/shared/domain/fault';
import type { Target } from '@millrace/shared/domain/request';
import { emptyHistory, applyEntry } from './history.ts';
import type { History } from './history.ts';
import { addChunk, nothingDelivered } from './delivered.ts';
import type { Delivered } from './delivered.ts';
import type { RequestTraits } from './traits.ts';

/* What the tests of continuation are made of: lines of a log, chunks, faults. */

export const plainTraits: RequestTraits = {
  tools: false,
  thinking: false,
  json: false,
  repeats: false,
  choices: 1,
  endsWithAssistant: false,
};

export const started = (
  attempt: number,
  { provider, model }: Target,
  mode: AttemptMode = 'start',
) =>
  ({
    kind: 'attempt',
    data: { run: 1, attempt, provider, model, mode, at: 1000 },
  }) satisfies Entry;

export const ended = (attempt: number, outcome: string, firstTokenAt?: number) =>
  ({
    kind: 'attempt_end',
    data: { run: 1, attempt, at: 2000, outcome, ...(firstTokenAt && { firstTokenAt }) },
  }) satisfies Entry;

export const seam = (attempt: number, rung: AttemptMode, outcome = 'passed', offset = 1) =>
  ({
    kind: 'seam',
    data: { attempt, rung, offset, outcome: outcome === 'passed' ? 'passed' : 'diverged' },
  }) satisfies Entry;

export const reset = { kind: 'reset', data: { reason: 'restart' } } as const satisfies Entry;

type Choice = { index?: number; finish?: string | null; logprobs?: object };

/** A chunk with one choice. */
export const chunk = (delta: object, { index = 0, finish = null, logprobs }: Choice = {}) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index, delta, ...(logprobs && { logprobs }), finish_reason: finish }],
});

export const toolCall = { tool_calls: [{ index: 0, id: 'c', function: { name: 'weigh' } }] };

export const said = (delta: object | string, choice?: Choice): Entry => ({
  kind: 'chunk',
  text: JSON.stringify(chunk(typeof delta === 'string' ? { content: delta } : delta, choice)),
});

export function historyOf(...entries: Entry[]): History {
  const history = emptyHistory();
  for (const entry of entries) applyEntry(history, entry);
  return history;
}

export function deliveredOf(...chunks: object[]): Delivered {
  const shown = nothingDelivered();
  for (const one of chunks) addChunk(shown, one);
  return shown;
}

export const fault = (code: FaultCode, rest: Partial<Fault> = {}): Fault => ({
  code,
  message: `It was ${code}.`,
  ...rest,
});
