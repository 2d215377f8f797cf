import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameHeader, parseFrames } from './frame.ts';
import type { Frame } from './port.ts';

const frame: Frame = {
  id: 'req_0_abc',
  prev: { run: 1, seq: 4 },
  last: { run: 2, seq: 2 },
  texts: ['c{"a":1}', 'd{}'],
};

const print = ({ id, prev, last, texts }: Frame): string =>
  [frameHeader(id, prev, last, texts.length), ...texts].join('\n');

describe('an inbox message', () => {
  it('has a header and its lines for each write', () => {
    expect(print(frame)).toBe('req_0_abc 1-4 2-2 2\nc{"a":1}\nd{}');
    expect(parseFrames(print(frame))).toEqual([frame]);
  });

  it('can bring many writes, in their order', () => {
    const other = { ...frame, id: 'req_0_def', texts: ['x{}'] };
    expect(parseFrames([frame, other, frame].map(print).join('\n'))).toEqual([frame, other, frame]);
  });

  it('takes lines as they are, also such as look like a header, and empty ones', () => {
    const texts = ['req_0_abc 1-4 2-2 2', '', 'c \u2028 \r \t 🙂', ''];
    expect(parseFrames(print({ ...frame, texts }))).toEqual([{ ...frame, texts }]);
  });

  it('is the same after the way there and back, whatever is in it', () => {
    const text = fc.string({ unit: 'binary' }).map((line) => line.replaceAll('\n', ''));
    const entryId = fc.record({ run: fc.nat({ max: 9_999_999_999 }), seq: fc.nat() });
    const any = fc.record({
      id: fc.stringMatching(/^[a-z0-9_]{1,40}$/),
      prev: entryId,
      last: entryId,
      texts: fc.array(text, { minLength: 1 }),
    });
    fc.assert(
      fc.property(fc.array(any, { minLength: 1 }), (frames) => {
        expect(parseFrames(frames.map(print).join('\n'))).toEqual(frames);
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['a request id alone', 'req_0_abc'],
    ['fewer lines than it says', 'req_0_abc 1-4 2-2 2\nc1'],
    ['no lines', 'req_0_abc 1-4 2-2 0'],
    ['a count that is none', 'req_0_abc 1-4 2-2 x\nc1'],
    ['places that are none', 'req_0_abc 1.4 2-2 1\nc1'],
    ['something behind the last write', 'req_0_abc 1-4 2-2 1\nc1\nc2'],
  ])('with %s is refused', (_what, message) => {
    expect(() => parseFrames(message)).toThrow('not an inbox message');
  });

  it('that is refused is not repeated in full', () => {
    const secret = `${'x'.repeat(200)}the end`;
    expect(() => parseFrames(secret)).toThrow(/^(?!.*the end)/);
  });
});
