import { agreedCode, isSpace, normalise } from './normalise.ts';

/** The usual length of an anchor in characters; a longer one is used if these words occur twice. */
const usualLength = 40;
/** A shorter text is too short to be found reliably. */
const shortestText = 24;
/** A model does not repeat a longer anchor reliably. */
const longestAnchor = 400;

/** A cache of one: several attempts of a strategy have the same delivered text. */
let last: { delivered: string; anchor: string | undefined } | undefined;

/**
 * The last words of the delivered text, which the target is asked to repeat: as few as occur only once in it.
 * Undefined if the text is too short, or ends with a repetition (lists, tables) that is longer than the
 * longest anchor. One pass over the text, whatever its content.
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

/** The end of a text, extended to the beginning of a word if possible; never cut inside a code point. */
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
 * The border table of Knuth, Morris and Pratt: for the first n + 1 codes, the length of the longest proper
 * suffix that is also a prefix. With it a search reads each character once.
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
 * The length of the longest suffix of the text that occurs in it a second time, up to the length of `end`
 * (the suffix, normalised and reversed). The text is read backwards, from its last character but one.
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

/** Whether the text is a repetition of a shorter one: what follows may well be the same once more. */
function repeatsItself(length: number, borders: Uint16Array): boolean {
  const period = length - (borders[length - 1] ?? 0);
  return period <= length / 2;
}
