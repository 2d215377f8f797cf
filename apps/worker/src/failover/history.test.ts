import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Entry } from '@millrace/shared/domain/entry';
import { describe, expect, it } from 'vitest';
import { ended, historyOf, reset, said, seam, started } from './history.fixture.ts';
import { emptyHistory, rememberLine, rememberText, sinceProgress, speaks } from './history.ts';
import { isNothing, nothingShown, plainText } from './shown.ts';

const one = { provider: 'one', model: 'a' };
const two = { provider: 'two', model: 'b' };

describe("a log's story", () => {
  it('has every attempt with its end, open while nothing ended it', () => {
    const { tries } = historyOf(
      started(1, one),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
    );
    expect(tries).toEqual([
      { attempt: 1, ...one, mode: 'start', outcome: 'upstream_reset', spoke: false },
      { attempt: 2, ...two, mode: 'replay', outcome: 'open', spoke: false },
    ]);
  });

  it('has what was shown and who said it', () => {
    const history = historyOf(started(1, one), said('Hel'), said('lo'));
    expect(plainText(history.shown)).toBe('Hello');
    expect(history.speaker).toEqual(one);
    expect(history.tries[0]?.spoke).toBe(true);
  });

  it('gives the word to another attempt where its seam was passed', () => {
    const lines = [
      started(1, one),
      said('Hel'),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
    ];
    expect(historyOf(...lines, seam(2, 'replay', 'diverged')).speaker).toEqual(one);
    const passed = historyOf(...lines, seam(2, 'replay'), said('lo'));
    expect(passed.speaker).toEqual(two);
    expect(plainText(passed.shown)).toBe('Hello');
  });

  it('forgets with a reset what was shown, and not who was tried', () => {
    const history = historyOf(started(1, one), said('Hello'), reset);
    expect(history.shown).toEqual(nothingShown());
    expect(history.speaker).toBeUndefined();
    expect(history.tries).toHaveLength(1);
  });

  it('of a whole answer cannot be gone on from', () => {
    const result: Entry = { kind: 'result', data: { contentType: 'x', body: '{}' } };
    const { shown } = historyOf(started(1, one), result);
    expect(isNothing(shown)).toBe(false);
    expect(plainText(shown)).toBeUndefined();
  });

  it('has the usage that was told, in whatever place, until readers are told to forget', () => {
    const usage = { total_tokens: 3 };
    const line: Entry = { kind: 'usage', text: JSON.stringify({ choices: [], usage }) };
    const chunk: Entry = { kind: 'chunk', text: JSON.stringify({ choices: [{}], usage }) };
    expect(historyOf(started(1, one), said('Hi'), line).usage).toEqual(usage);
    expect(historyOf(started(1, one), chunk, said('Hi')).usage).toEqual(usage);
    expect(historyOf(started(1, one), chunk, reset).usage).toBeUndefined();
  });

  it('is not changed by usage and the end', () => {
    const done: Entry = { kind: 'done', data: { finishReason: null, attempts: 1, at: 1 } };
    const { shown } = historyOf(started(1, one), { kind: 'usage', text: '{}' }, done);
    expect(isNothing(shown)).toBe(true);
  });

  it('is the same read from its lines as written', () => {
    const entries = [
      started(1, one),
      said('Hel'),
      ended(1, 'x'),
      started(2, two, 'anchor'),
      seam(2, 'anchor'),
    ];
    const read = emptyHistory();
    for (const entry of entries) rememberLine(read, encodeEntry(entry));
    rememberText(read, 'lo');
    expect(read).toEqual(historyOf(...entries, said('lo')));
  });
});

describe('the tries since progress', () => {
  it('are those after the last one that was heard', () => {
    const history = historyOf(
      started(1, one),
      said('Hi'),
      started(2, two, 'replay'),
      started(3, one),
    );
    expect(sinceProgress(history.tries).map(({ attempt }) => attempt)).toEqual([2, 3]);
    speaks(history, 2);
    expect(sinceProgress(history.tries).map(({ attempt }) => attempt)).toEqual([3]);
    speaks(history, 99);
    expect(history.speaker).toEqual(two);
  });

  it('are all where nobody was heard', () => {
    expect(sinceProgress(historyOf(started(1, one)).tries)).toHaveLength(1);
  });
});
