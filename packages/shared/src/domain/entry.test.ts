import { describe, expect, it } from 'vitest';
import {
  chunkLine,
  compareEntryIds,
  decodeEntry,
  encodeEntry,
  formatEntryId,
  isChunkLine,
  isTerminal,
  isTerminalLine,
  kindOf,
  logStart,
  parseEntryId,
  sameEntryId,
  unpack,
  usageLine,
} from './entry.ts';
import type { Entry, EntryId } from './entry.ts';

const at = (run: number, seq: number): EntryId => ({ run, seq });

const samples: Entry[] = [
  {
    kind: 'attempt',
    data: { run: 2, attempt: 3, provider: 'p', model: 'm:1/x', mode: 'restart', at: 1 },
  },
  {
    kind: 'attempt_end',
    data: { run: 2, attempt: 3, at: 2, firstTokenAt: 1, outcome: 'completed', usage: { a: [1] } },
  },
  { kind: 'seam', data: { attempt: 3, rung: 'anchor', offset: 120, outcome: 'passed' } },
  { kind: 'chunk', text: '{"choices":[{"delta":{"content":"ü\\n"}}]}' },
  { kind: 'usage', text: '{"choices":[],"usage":{}}' },
  { kind: 'result', data: { contentType: 'application/json', body: '{\n "a": "\\n\u2028" \r\n}' } },
  { kind: 'reset', data: { reason: 'restart' } },
  { kind: 'done', data: { finishReason: 'stop', usage: null, attempts: 1, at: 1 } },
  {
    kind: 'failed',
    data: {
      error: { message: 'line\nbreak', type: 't', param: null, code: 'c' },
      httpStatus: 502,
      retryAfterMs: 10,
      at: 1,
    },
  },
  { kind: 'cancelled', data: { reason: 'gone', at: 1 } },
];

describe('an entry as a line', () => {
  it.each(samples.map((entry) => [entry.kind, entry] as const))(
    '%s comes back as it was',
    (kind, entry) => {
      const line = encodeEntry(entry);
      expect(decodeEntry(line)).toEqual(entry);
      expect(kindOf(line)).toBe(kind);
      expect(line).not.toContain('\n');
    },
  );

  it('begins with a letter of its own for each kind', () => {
    const letters = samples.map((entry) => encodeEntry(entry)[0]);
    expect(new Set(letters).size).toBe(samples.length);
  });

  it('of a chunk is its text, untouched, also on the quick way', () => {
    const text = '{"n":12345678901234567890,"n":1.0}';
    expect(encodeEntry({ kind: 'chunk', text })).toBe(`c${text}`);
    expect(chunkLine(text)).toBe(encodeEntry({ kind: 'chunk', text }));
    expect(usageLine(text)).toBe(encodeEntry({ kind: 'usage', text }));
  });

  it('says by itself whether it is terminal, as the entry does', () => {
    for (const entry of samples) {
      expect(isTerminalLine(encodeEntry(entry))).toBe(isTerminal(entry));
      expect(isChunkLine(encodeEntry(entry))).toBe(entry.kind === 'chunk');
    }
    expect(samples.filter(isTerminal).map(({ kind }) => kind)).toEqual([
      'done',
      'failed',
      'cancelled',
    ]);
  });

  it.each(['', 'q{}', '{"a":1}', 'C{}', ' c{}'])('that is none is refused: %j', (line) => {
    expect(() => decodeEntry(line)).toThrow('not a log entry');
  });
});

describe('an entry id', () => {
  it.each([
    ['0-0', at(0, 0)],
    ['1-0', at(1, 0)],
    ['12-345', at(12, 345)],
    ['9999999999-999999999999999', at(9_999_999_999, 999_999_999_999_999)],
  ])('%s is read and printed the same', (text, id) => {
    expect(parseEntryId(text)).toEqual(id);
    expect(formatEntryId(id)).toBe(text);
  });

  it.each([
    '',
    '-',
    '1',
    '1-',
    '-1',
    '1-1-1',
    '01-1',
    '1-01',
    '+1-1',
    '1--1',
    '1-1 ',
    ' 1-1',
    '1-1\n',
    '1.5-1',
    '1e3-1',
    '0x1-1',
    '١-١',
    '10000000000-1',
    '1-1000000000000000',
  ])('%j is none', (text) => {
    expect(parseEntryId(text)).toBeUndefined();
  });

  it('is compared by its run, then by its number', () => {
    const sorted = [at(0, 0), at(0, 1), at(1, 2), at(1, 10), at(2, 0), at(2, 1), at(10, 0)];
    expect(sorted.toReversed().toSorted(compareEntryIds)).toEqual(sorted);
    expect(compareEntryIds(at(3, 4), at(3, 4))).toBe(0);
    expect(sameEntryId(at(3, 4), at(3, 4))).toBe(true);
    expect(sameEntryId(at(3, 4), at(4, 3))).toBe(false);
  });
});

describe('a pack', () => {
  const texts = ['ca', 'cb', 'cc'];

  it('counts its places down from the last one', () => {
    expect(unpack(at(2, 7), texts, logStart)).toEqual([
      { run: 2, seq: 5, text: 'ca' },
      { run: 2, seq: 6, text: 'cb' },
      { run: 2, seq: 7, text: 'cc' },
    ]);
  });

  it.each([
    [at(2, 3), 3],
    [at(2, 4), 3],
    [at(2, 5), 2],
    [at(2, 6), 1],
    [at(2, 7), 0],
    [at(2, 99), 0],
    [at(1, 99), 3],
    [at(3, 1), 3],
  ])('behind %j gives only what is new', (after, count) => {
    const lines = unpack(at(2, 7), texts, after);
    expect(lines.map(({ text }) => text)).toEqual(texts.slice(3 - count));
  });
});
