import { encodeEntry } from '@millrace/shared/domain/entry';
import type { Entry } from '@millrace/shared/domain/entry';
import { describe, expect, it } from 'vitest';
import { ended, historyOf, reset, said, seam, started } from './history.fixture.ts';
import { emptyHistory, applyEntry, applyLine, applyText, setSource } from './history.ts';
import { sinceDelivered } from './progress.ts';
import { isEmpty, nothingDelivered, plainText } from './delivered.ts';

const one = { provider: 'one', model: 'a' };
const two = { provider: 'two', model: 'b' };

describe("a log's story", () => {
  it('has every attempt with its end, open while nothing ended it', () => {
    const { attempts } = historyOf(
      started(1, one),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
    );
    const silent = {
      answered: false,
      wasDelivered: false,
      advanced: false,
      tokens: 0,
      offset: 0,
      report: undefined,
    };
    expect(attempts).toEqual([
      { attempt: 1, ...one, mode: 'start', outcome: 'upstream_reset', ...silent },
      { attempt: 2, ...two, mode: 'replay', outcome: 'open', ...silent },
    ]);
  });

  it('knows of an attempt that it was answered, by its first token or by what was shown of it', () => {
    const { attempts } = historyOf(
      started(1, one),
      said('Hel'),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
      ended(2, 'no_continuation', 1500),
      started(3, one, 'replay'),
      ended(3, 'upstream_overloaded'),
    );
    expect(attempts.map(({ answered }) => answered)).toEqual([true, true, false]);
  });

  it('has the estimated tokens that each attempt sent for it, repeated or new', () => {
    const { attempts } = historyOf(
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
    expect(attempts.map(({ tokens }) => tokens)).toEqual([2, 3.25, 1, 0]);
    expect(attempts.map(({ offset }) => offset)).toEqual([0, 8, 13, 17]);
  });

  it('has what was shown and who said it', () => {
    const history = historyOf(started(1, one), said('Hel'), said('lo'));
    expect(plainText(history.delivered)).toBe('Hello');
    expect(history.source).toMatchObject(one);
    expect(history.attempts[0]?.wasDelivered).toBe(true);
  });

  it('gives the word to another attempt where its seam was passed', () => {
    const lines = [
      started(1, one),
      said('Hel'),
      ended(1, 'upstream_reset'),
      started(2, two, 'replay'),
    ];
    expect(historyOf(...lines, seam(2, 'replay', 'diverged')).source).toMatchObject(one);
    const passed = historyOf(...lines, seam(2, 'replay'), said('lo'));
    expect(passed.source).toMatchObject(two);
    expect(plainText(passed.delivered)).toBe('Hello');
  });

  describe('of two attempts side by side', () => {
    const both = [started(1, one), started(2, two)];

    it('gives the word to the newer one, where no line gives it to the other', () => {
      expect(historyOf(...both, said('Hi')).source).toMatchObject(two);
      const named = historyOf(...both, seam(1, 'start'), said('Hi'));
      expect(named.source).toMatchObject(one);
      expect(named.attempts.map(({ wasDelivered }) => wasDelivered)).toEqual([true, false]);
    });

    it('gives the word to the one that is under way, where the other has failed', () => {
      expect(historyOf(...both, ended(2, 'x'), said('Hi')).source).toMatchObject(one);
    });
  });

  it('forgets with a reset what was shown, and not who was tried', () => {
    const history = historyOf(started(1, one), said('Hello'), reset);
    expect(history.delivered).toEqual(nothingDelivered());
    expect(history.source).toBeUndefined();
    expect(history.attempts).toHaveLength(1);
  });

  it('keeps of a fresh answer, too, no more text than it may', () => {
    const history = emptyHistory(4);
    for (const one of [said('Hello'), reset, said('Hell')]) applyEntry(history, one);
    expect(plainText(history.delivered)).toBe('Hell');
    applyEntry(history, said('o'));
    expect(history.delivered).toMatchObject({ texts: new Map(), chars: 5, other: true });
  });

  it('of a whole answer cannot be gone on from', () => {
    const result: Entry = { kind: 'result', data: { contentType: 'x', body: '{}' } };
    const { delivered } = historyOf(started(1, one), result);
    expect(isEmpty(delivered)).toBe(false);
    expect(plainText(delivered)).toBeUndefined();
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
    const { delivered } = historyOf(started(1, one), { kind: 'usage', text: '{}' }, done);
    expect(isEmpty(delivered)).toBe(true);
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
    for (const entry of entries) applyLine(read, encodeEntry(entry));
    applyText(read, 'lo');
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
    expect(sinceDelivered(history.attempts).map(({ attempt }) => attempt)).toEqual([2, 3]);
    setSource(history, 2);
    expect(sinceDelivered(history.attempts).map(({ attempt }) => attempt)).toEqual([3]);
    setSource(history, 99);
    expect(history.source).toMatchObject(two);
  });

  it('are all where nobody was heard', () => {
    expect(sinceDelivered(historyOf(started(1, one)).attempts)).toHaveLength(1);
  });
});
