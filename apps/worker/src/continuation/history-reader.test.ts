import { encodeEntry } from '@millrace/shared/domain/entry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyHistory, applyLine } from './history.ts';
import { createHistoryReader } from './history-reader.ts';

const chunk = (index: number, delta: object, more: object = {}): string =>
  `c${JSON.stringify({ id: 'x', choices: [{ index, delta, finish_reason: null, ...more }] })}`;

const attempt = (number: number): string =>
  encodeEntry({
    kind: 'attempt',
    data: { run: 1, attempt: number, provider: `p${number}`, model: 'm', mode: 'start', at: 1 },
  });

/** Lines that look alike and mean different things. */
const lines = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((content) => chunk(0, { content })),
  fc.string().map((content) => chunk(1, { content })),
  fc.string().map((content) => chunk(0, { content, reasoning: 'because' })),
  fc.string().map((reasoning) => chunk(0, { content: '', reasoning })),
  fc.string().map((content) => chunk(0, { content }, { logprobs: { content: [] } })),
  fc.constantFrom(
    chunk(0, { role: 'assistant', content: '' }),
    chunk(0, { content: 'end' }, { finish_reason: 'stop' }),
    chunk(0, { tool_calls: [{ index: 0, function: { name: 'f' } }] }),
    `c${JSON.stringify({ id: 'x', choices: [] })}`,
    encodeEntry({ kind: 'reset', data: { reason: 'restart' } }),
    attempt(1),
    attempt(2),
  ),
);

describe('what is recalled of a log', () => {
  it('is the same as what each of its lines says by itself', () => {
    fc.assert(
      fc.property(fc.array(lines, { maxLength: 40 }), (log) => {
        const [recalled, remembered] = [emptyHistory(), emptyHistory()];
        const recall = createHistoryReader(recalled);
        for (const line of log) {
          recall(line);
          applyLine(remembered, line);
        }
        expect(recalled).toEqual(remembered);
      }),
      { numRuns: 500 },
    );
  });
});
