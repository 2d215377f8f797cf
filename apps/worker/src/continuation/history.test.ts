import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Entry } from '@millrace/shared/domain/entry';
import { describe, expect, it } from 'vitest';
import { ended, historyOf, reset, said, seam, started } from './history.fixture.ts';
import { emptyHistory, remember, rememberLine, rememberText, speaks } from './history.ts';
import { sinceShown } from './progress.ts';
import { isNothing, nothingShown, plainText } from './delivered.ts';

const one = { provider: 'one', model: 'a' };
const two = { provider: 'two', model: 'b' };

describe("a log's story", () => {
  it('has every attempt with its end, open while nothing ended it', () => {
    const { tries } = historyOf(
      started(1, one),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
    );
    const silent = {
      answered: false,
      spoke: false,
      advanced: false,
      tokens: 0,
      offset: 0,
      report: undefined,
    };
    expect(tries).toEqual([
      { attempt: 1, ...one, mode: 'start', outcome: 'upstream_reset', ...silent },
      { attempt: 2, ...two, mode: 'replay', outcome: 'open', ...silent },
    ]);
  });

  it('knows of an attempt that it was answered, by its first token or by what was shown of it', () => {
    const { tries } = historyOf(
      started(1, one),
      said('Hel'),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
      ended(2, 'no_continuation', 1500),
      started(3, one, 'replay'),
      ended(3, 'upstream_overloaded'),
    );
    expect(tries.map(({ answered }) => answered)).toEqual([true, true, false]);
  });

  it('has the estimated tokens that each attempt sent for it, repeated or new', () => {
    const { tries } = historyOf(
      started(1, one),
      said({ role: 'assistant', content: '' }),
      said({ reasoning: 'Hm.' }),
      said('Hello'),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
      seam(2, 'replay', 'passed', 5),
      said(', you'),
      started(3, one, 'anchor'),
      seam(3, 'anchor', 'passed', 10),
      said(' all'),
      started(4, one, 'replay'),
      seam(4, 'replay', 'diverged', 14),
    );
    expect(tries.map(({ tokens }) => tokens)).toEqual([2, 3.25, 1, 0]);
    expect(tries.map(({ offset }) => offset)).toEqual([0, 8, 13, 17]);
  });

  it('has what was shown and who said it', () => {
    const history = historyOf(started(1, one), said('Hel'), said('lo'));
    expect(plainText(history.shown)).toBe('Hello');
    expect(history.speaker).toMatchObject(one);
    expect(history.tries[0]?.spoke).toBe(true);
  });

  it('gives the word to another attempt where its seam was passed', () => {
    const lines = [
      started(1, one),
      said('Hel'),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
    ];
    expect(historyOf(...lines, seam(2, 'replay', 'diverged')).speaker).toMatchObject(one);
    const passed = historyOf(...lines, seam(2, 'replay'), said('lo'));
    expect(passed.speaker).toMatchObject(two);
    expect(plainText(passed.shown)).toBe('Hello');
  });

  describe('of two attempts side by side', () => {
    const both = [started(1, one), started(2, two)];

    it('gives the word to the newer one, where no line gives it to the other', () => {
      expect(historyOf(...both, said('Hi')).speaker).toMatchObject(two);
      const named = historyOf(...both, seam(1, 'start'), said('Hi'));
      expect(named.speaker).toMatchObject(one);
      expect(named.tries.map(({ spoke }) => spoke)).toEqual([true, false]);
    });

    it('gives the word to the one that is under way, where the other has failed', () => {
      expect(historyOf(...both, ended(2, 'x'), said('Hi')).speaker).toMatchObject(one);
    });
  });

  it('forgets with a reset what was shown, and not who was tried', () => {
    const history = historyOf(started(1, one), said('Hello'), reset);
    expect(history.shown).toEqual(nothingShown());
    expect(history.speaker).toBeUndefined();
    expect(history.tries).toHaveLength(1);
  });

  it('keeps of a fresh answer, too, no more text than it may', () => {
    const history = emptyHistory(4);
    for (const one of [said('Hello'), reset, said('Hell')]) remember(history, one);
    expect(plainText(history.shown)).toBe('Hell');
    remember(history, said('o'));
    expect(history.shown).toMatchObject({ texts: new Map(), chars: 5, other: true });
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
    expect(sinceShown(history.tries).map(({ attempt }) => attempt)).toEqual([2, 3]);
    speaks(history, 2);
    expect(sinceShown(history.tries).map(({ attempt }) => attempt)).toEqual([3]);
    speaks(history, 99);
    expect(history.speaker).toMatchObject(two);
  });

  it('are all where nobody was heard', () => {
    expect(sinceShown(historyOf(started(1, one)).tries)).toHaveLength(1);
  });
});
