import { agreedCode, isSpace, normalise } from './normalise.ts';

/** Characters of the anchor, where that is enough to name one place. */
const usualLength = 40;
/** Below this a text has nothing in it that could be found again. */
const shortestText = 24;
/** Above this an anchor is no words to repeat any more but a second answer. */
const longestAnchor = 400;

/** One strategy may make several attempts, all with the same delivered text. */
let last: { delivered: string; anchor: string | undefined } | undefined;

/**
 * The last words of what was shown, to be repeated word for word: as few as name one place in it.
 * Undefined when the text is too short, or repeats itself (lists, tables) for longer than can be asked,
 * or all the way. One pass over the text, whatever is in it.
 */
export function chooseAnchor(delivered: string): string | undefined {
  if (last?.delivered !== delivered) last = { delivered, anchor: findAnchor(delivered) };
  return last.anchor;
}

function findAnchor(delivered: string): string | undefined {
  const text = delivered.trimEnd();
  if (text.length < shortestText) return undefined;
  const most = Math.min(text.length, longestAnchor);
  const end = backwards(normalise(tail(text, most)));
  const borders = bordersOf(end);
  const repeated = longestRepeat(text, end, borders);
  for (let length = usualLength; ; length += usualLength) {
    const anchor = tail(text, Math.min(length, most));
    const wanted = normalise(anchor).length;
    if (wanted > repeated) return repeatsItself(wanted, borders) ? undefined : anchor;
    if (length >= most) return undefined;
  }
}

/** From the beginning of a word where there is one, and never from the middle of a code point. */
function tail(text: string, length: number): string {
  const cut = text.length - length;
  if (cut === 0) return text;
  const rest = text.slice(cut);
  const space = rest.search(/\s/);
  if (space >= 0 && space < length / 2) return rest.slice(space).trimStart();
  return /[\uDC00-\uDFFF]/.test(rest[0] ?? '') ? text.slice(cut - 1) : rest;
}

function backwards(text: string): Uint16Array {
  const codes = new Uint16Array(text.length);
  for (let at = 0; at < text.length; at++) codes[at] = text.charCodeAt(text.length - 1 - at);
  return codes;
}

/**
 * Of the first n + 1 codes, how many at their end are the same as at their beginning, short of all:
 * with it a search never looks at a character twice (Knuth, Morris and Pratt).
 */
function bordersOf(codes: Uint16Array): Uint16Array {
  const borders = new Uint16Array(codes.length);
  for (let at = 1, same = 0; at < codes.length; at++) {
    while (same > 0 && codes[at] !== codes[same]) same = borders[same - 1] ?? 0;
    if (codes[at] === codes[same]) same += 1;
    borders[at] = same;
  }
  return borders;
}

/**
 * Characters of the longest end of the text that is in it a second time, up to the length of `end`:
 * that end, normalised and backwards. The text is read backwards too, from its last character but one.
 */
function longestRepeat(text: string, end: Uint16Array, borders: Uint16Array): number {
  let longest = 0;
  let same = 0;
  let wasSpace = false;
  for (let at = text.length - 2; at >= 0 && longest < end.length; at--) {
    const code = agreedCode(text, at);
    const isMore = isSpace(code) && wasSpace;
    wasSpace = isSpace(code);
    if (isMore) continue;
    while (same > 0 && code !== end[same]) same = borders[same - 1] ?? 0;
    if (code === end[same]) same += 1;
    if (same > longest) longest = same;
  }
  return longest;
}

/** Nothing but a shorter text again and again: what follows may well be the same once more. */
function repeatsItself(length: number, borders: Uint16Array): boolean {
  const period = length - (borders[length - 1] ?? 0);
  return period <= length / 2;
}
