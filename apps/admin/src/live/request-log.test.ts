import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Entry } from '@millrace/shared/domain/entry';
import { expect, test } from 'vitest';
import { addItem, emptySummary } from './request-log.ts';

const text = (content: string): Entry => ({
  kind: 'chunk',
  text: JSON.stringify({ choices: [{ index: 0, delta: { content } }] }),
});
const started = (attempt: number): Entry => ({
  kind: 'attempt',
  data: { run: 1, attempt, provider: 'p', model: 'm', mode: 'start', at: 0 },
});
const ended = (attempt: number, outcome: string): Entry => ({
  kind: 'attempt_end',
  data: { run: 1, attempt, at: 0, outcome },
});
const seam = (attempt: number): Entry => ({
  kind: 'seam',
  data: { attempt, rung: 'continue', offset: 1, outcome: 'passed' },
});

/** The summary of a log, with the time of each entry. */
function summaryOf(...entries: [at: number, entry: Entry][]) {
  const summary = emptySummary();
  for (const [index, [at, entry]] of entries.entries()) {
    addItem(summary, { run: 1, seq: index + 1, text: encodeEntry(entry), at });
  }
  return summary;
}

const answer = (outcome: string) =>
  summaryOf(
    [100, started(1)],
    [200, text('a')],
    // Nothing to see.
    [280, text('')],
    [300, ended(1, outcome)],
    [310, started(2)],
    [310, ended(2, 'superseded')],
    [320, started(3)],
    [410, seam(3)],
    [410, text('b')],
    [900, text('c')],
  );

test('a rescue is counted with its gap, from the last text to the first that continues it', () => {
  const { rescues, times } = answer('upstream_reset');
  expect({ rescues, times }).toMatchObject({ rescues: 1, times: { firstAt: 200, maxGapMs: 210 } });
});

test("an operator's move has a gap and is no rescue, also with a lost race behind it", () => {
  const { rescues, times } = answer('moved');
  expect({ rescues, times }).toMatchObject({ rescues: 0, times: { maxGapMs: 210 } });
});
