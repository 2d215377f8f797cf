import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseAnchor } from './anchor.ts';
import { anchorSeam } from './anchored.ts';
import { normalise } from './normalise.ts';
import { prefillSeam } from './prefill.ts';
import { replaySeam } from './replay.ts';
import type { Seam } from './splice.ts';

/**
 * Feeds a reply in pieces of every size from one character up, and returns what all of them agree on:
 * the text that is new, or why there is none.
 */
function through(make: () => Seam, reply: string): string | { dropped: string } {
  const results = new Map<string, string | { dropped: string }>();
  for (let size = 1; size <= Math.max(1, reply.length); size++) {
    const result = feed(make(), reply, size);
    results.set(JSON.stringify(result), result);
  }
  expect([...results.keys()], 'the same, however it was cut').toHaveLength(1);
  return [...results.values()][0] ?? '';
}

function feed(seam: Seam, reply: string, size: number): string | { dropped: string } {
  let text: string | undefined;
  for (let at = 0; at < reply.length; at += size) {
    const piece = reply.slice(at, at + size);
    if (text !== undefined) {
      text += piece;
      continue;
    }
    const step = seam.push(piece);
    if (step.kind === 'dropped') return { dropped: step.reason };
    if (step.kind === 'passed') text = step.text;
  }
  if (text !== undefined) return text;
  const step = seam.end();
  if (step.kind === 'passed') return step.text;
  return { dropped: step.kind === 'dropped' ? step.reason : 'held' };
}

const shown = 'The river turns the wheel, the wheel turns the stone,';
const rest = ' and the stone grinds the corn. 🙂';

describe('a replay', () => {
  const replay = (reply: string) => through(() => replaySeam(shown), reply);

  it('gives on what is new, from the first new character', () => {
    expect(replay(shown + rest)).toBe(rest);
    expect(replay(shown)).toBe('');
  });

  it('is dropped at the first difference', () => {
    expect(replay(`The River turns${rest}`)).toEqual({ dropped: 'diverged' });
    expect(replay(`${shown.slice(0, -1)}.${rest}`)).toEqual({ dropped: 'diverged' });
  });

  it('is dropped when it ends before it has caught up', () => {
    expect(replay(shown.slice(0, -1))).toEqual({ dropped: 'too_short' });
    expect(replay('')).toEqual({ dropped: 'too_short' });
  });
});

describe('a native continuation', () => {
  const goOn = (reply: string, before = shown) => through(() => prefillSeam(before), reply);

  it('is new as it is', () => {
    expect(goOn(rest)).toBe(rest);
    expect(goOn('')).toBe('');
  });

  it('that begins like the answer did, and goes on otherwise, is new as it is', () => {
    expect(goOn(' The river too.')).toBe(' The river too.');
    expect(goOn('The river is wide.')).toBe('The river is wide.');
  });

  it('that begins the answer anew is taken as a replay', () => {
    expect(goOn(shown + rest)).toBe(rest);
    expect(goOn(`${shown.slice(0, 30)} and otherwise`)).toEqual({ dropped: 'diverged' });
    expect(goOn(shown.slice(0, 30))).toEqual({ dropped: 'too_short' });
  });

  it('is dropped where nobody can tell: after a few characters that come again', () => {
    expect(goOn('ha ha', 'ha ')).toEqual({ dropped: 'diverged' });
    expect(goOn('\\\\\\', '\\\\\\')).toEqual({ dropped: 'diverged' });
    expect(goOn('ho ho', 'ha ')).toBe('ho ho');
  });

  it('is dropped where nobody can tell: in a text that repeats itself', () => {
    const rows = '| a | b |\n'.repeat(9);
    expect(goOn(rows, rows)).toEqual({ dropped: 'diverged' });
    expect(goOn('\nThat is all.', rows)).toBe('\nThat is all.');
  });

  it('is dropped where it ends in the middle of what was the beginning', () => {
    expect(goOn('The river')).toEqual({ dropped: 'too_short' });
  });
});

describe('the anchor', () => {
  it('is the last words, from the beginning of one, without white space at the end', () => {
    expect(chooseAnchor(`${shown} \n`)).toBe('the wheel, the wheel turns the stone,');
  });

  it('is lengthened until it is in one place only', () => {
    const list =
      'First the corn, then this:\n- turn the wheel and turn the stone\n- turn the wheel and turn the stone\n';
    const anchor = chooseAnchor(list) ?? '';
    expect(anchor.length).toBeGreaterThan(40);
    expect(list.indexOf(anchor)).toBe(list.lastIndexOf(anchor));
    expect(list.trimEnd().endsWith(anchor)).toBe(true);
  });

  it('does not take white space and quotation marks for a difference between places', () => {
    const words = (quote: string, space: string) =>
      `the wheel ${quote}turns${space}the stone${quote} once more, and then again`;
    const twice = `First ${words('"', ' ')}. Then ${words('“', '\n ')}`;
    const anchor = chooseAnchor(twice) ?? '';
    expect(anchor).toContain(`Then ${words('“', '\n ')}`);
    expect(twice.endsWith(anchor)).toBe(true);
  });

  it.each([
    ['a short text', 'Not enough in here.'],
    ['white space', ' '.repeat(90)],
    ['a text that repeats itself all the way', '| a | b |\n'.repeat(9)],
    ['a short one that does', 'ha '.repeat(10)],
    [
      'a long one that does, up to a point',
      `${'the stone turns the wheel and '.repeat(50)}the stone`,
    ],
  ])('is none in %s', (_, text) => {
    expect(chooseAnchor(text)).toBeUndefined();
  });

  it.each([
    ['letters', 'the wheel turns the stone; '],
    ['astral letters', '🌊🪨🌾 '],
    ['quotation marks', `“a” 'b' «c»\t`],
    ['one letter', 'a'],
  ])('names one place and no shorter one does, in %s', (_, phrase) => {
    // Endings that were said before, up to a length, and the same with other white space and quotes.
    for (let again = 0; again < 500; again += 23) {
      const end = phrase.repeat(500).slice(0, again);
      const text =
        `Once upon a time ${end}; and ${straight(end).replaceAll(' ', '\n ')}. Twice ${end}`.trimEnd();
      const anchor = chooseAnchor(text);
      expect(anchor).toBe(anchorBySearch(text));
    }
  });

  it('is the one that a search of the whole for each candidate finds', () => {
    const unit = fc.constantFrom('a', 'b', ' ', '"', '”');
    const phrase = fc.string({ unit, minLength: 1, maxLength: 12 });
    const text = fc
      .array(fc.tuple(phrase, fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 6 })
      .map((all) =>
        all
          .map(([one, times]) => one.repeat(times))
          .join('')
          .trimEnd(),
      )
      .filter(({ length }) => length >= 24);
    fc.assert(
      fc.property(text, (shown) => {
        expect(chooseAnchor(shown)).toBe(anchorBySearch(shown));
      }),
      { numRuns: 2000 },
    );
  });

  it('is that of the text that is asked for, whatever was asked for before', () => {
    const other = `${shown} and the stone grinds the corn that the river brought.`;
    expect(chooseAnchor(other)).not.toBe(chooseAnchor(shown));
    expect(chooseAnchor(shown)).toBe('the wheel, the wheel turns the stone,');
    expect(chooseAnchor('short')).toBeUndefined();
    expect(chooseAnchor(shown)).toBe('the wheel, the wheel turns the stone,');
  });

  it('never begins in the middle of a code point', () => {
    for (let length = 12; length < 60; length++) {
      const anchor = chooseAnchor('🙂🙃'.repeat(2) + '🌊x🪨x🌾x🍞x🌍x🌕'.repeat(length)) ?? '';
      expect(anchor).not.toMatch(/^[\uDC00-\uDFFF]/);
    }
  });
});

describe('an anchored continuation', () => {
  const anchor = chooseAnchor(shown) ?? '';
  const anchored = (reply: string, before = shown) =>
    through(() => anchorSeam(before, chooseAnchor(before) ?? ''), reply);

  it.each([
    ['exactly', anchor],
    ['behind a preamble', `Sure, here is the rest of the answer:\n\n${anchor}`],
    ['with other white space', anchor.replaceAll(' ', '\n  ')],
    ['with white space before it', `\n ${anchor}`],
  ])('that repeats the anchor %s goes on behind it', (_, said) => {
    expect(anchored(said + rest)).toBe(rest);
    expect(anchored(said)).toBe('');
  });

  it.each([
    ['"', '"'],
    ["'", "'"],
    ['“', '”'],
    ['«', '»'],
  ])('that puts the anchor between %s and %s loses both', (open, close) => {
    expect(anchored(open + anchor + close + rest)).toBe(rest);
    expect(anchored(open + anchor + rest)).toBe(rest);
  });

  it('may have straight quotation marks where the answer had others, and the other way round', () => {
    const quoted = 'The miller said “the stone is heavy” and ‘so it is’, as he did';
    expect(anchored(`${straight(chooseAnchor(quoted) ?? '')} often.`, quoted)).toBe(' often.');
    expect(anchored(`${chooseAnchor(straight(quoted))} often.`, straight(quoted))).toBe(' often.');
  });

  it('does not show white space twice that was shown before', () => {
    expect(anchored(`${anchor}\n\n- more`, `${shown}\n\n`)).toBe('- more');
    expect(anchored(`${anchor} - more`, `${shown}\n\n`)).toBe('- more');
    expect(anchored(`${anchor}\n\n  - more`, `${shown}\n\n`)).toBe('  - more');
    expect(anchored(`"${anchor}" more`, `${shown} `)).toBe('more');
  });

  it.each([
    ['changes a letter of the anchor', anchor.replace('wheel', 'wheal') + rest],
    ['goes on without it', rest],
    ['says something else', 'I am sorry, I cannot do this.'],
    ['says nothing', ''],
    [
      'comes to it too late',
      `${'Well, let me think about this for a while. '.repeat(3)}${anchor}${rest}`,
    ],
  ])('that %s is dropped', (_, reply) => {
    expect(anchored(reply)).toEqual({ dropped: 'anchor_missing' });
  });

  it('that finds the anchor only further on, in an answer that repeats itself, is dropped', () => {
    const cycle = ' the wheel turns, the stone grinds, the flour falls and is swept.';
    const before = `${cycle}${cycle.slice(0, 39)}`;
    const wanted = chooseAnchor(before) ?? '';
    const after = cycle.slice(39) + cycle + cycle;
    expect(after).toContain(wanted);
    expect(anchored(wanted + after, before)).toBe(after);
    expect(anchored(`"${wanted}${after}`, before)).toBe(after);
    expect(anchored(`So it goes on: ${wanted}${after}`, before)).toBe(after);
    const middle = `${wanted.slice(0, 15)}Ω${wanted.slice(16)}`;
    for (const drifted of [
      `Ω${wanted.slice(1)}`,
      middle,
      `${wanted.slice(0, 12)}${wanted.slice(13)}`,
    ]) {
      expect(anchored(drifted + after, before)).toEqual({ dropped: 'anchor_missing' });
    }
  });

  it('after white space without end, or behind it, is what it would be without', () => {
    const white = ' \n'.repeat(300);
    expect(feed(anchorSeam(shown, anchor), white + anchor + rest, 1)).toBe(rest);
    const gap = `${shown}\n\n`;
    expect(feed(anchorSeam(gap, anchor), `${anchor}${white}and`, 1)).toBe('and');
    expect(feed(anchorSeam(gap, anchor), `${anchor}\n\n${white}and`, 1)).toBe(`${white}and`);
  });

  it('that does not come to the point is dropped before its end', () => {
    const seam = anchorSeam(shown, anchor);
    expect(seam.push('x'.repeat(120 + anchor.length)).kind).toBe('held');
    expect(seam.push('xx')).toEqual({ kind: 'dropped', reason: 'anchor_missing' });
  });
});

/** As the text says it, with a search of the whole for each candidate. */
function anchorBySearch(text: string): string | undefined {
  const whole = normalise(text);
  for (let length = 40; ; length += 40) {
    const cut = Math.max(0, text.length - Math.min(length, 400));
    let anchor = text.slice(cut);
    const space = anchor.search(/\s/);
    if (cut > 0 && space >= 0 && space < anchor.length / 2)
      anchor = anchor.slice(space).trimStart();
    else if (/^[\uDC00-\uDFFF]/.test(anchor)) anchor = text.slice(cut - 1);
    const wanted = normalise(anchor);
    if (whole.indexOf(wanted) === whole.length - wanted.length) {
      return isPeriodic(wanted) ? undefined : anchor;
    }
    if (cut === 0 || length >= 400) return undefined;
  }
}

const isPeriodic = (text: string): boolean =>
  Array.from({ length: text.length >> 1 }, (_, i) => i + 1).some((period) =>
    text.startsWith(text.slice(period)),
  );

const straight = (text: string) => text.replaceAll(/[“”]/g, '"').replaceAll(/[‘’]/g, "'");

describe('a normalised text', () => {
  it('has white space in one and straight quotation marks', () => {
    expect(normalise('a \n\t b\u00a0“c” ‘d’ «e» `f´')).toBe('a b "c" \'d\' "e" \'f\'');
  });

  it('takes for white space what the language does, and leaves all else as it is', () => {
    const all = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code));
    expect(all.filter((char) => normalise(char) === ' ')).toEqual(
      all.filter((char) => /\s/.test(char)),
    );
    const changed = all.filter((char) => normalise(char) !== char && !/\s/.test(char));
    expect(changed.join('')).toBe('`´‘’‚‛′“”„‟″«»'.split('').sort().join(''));
  });
});
