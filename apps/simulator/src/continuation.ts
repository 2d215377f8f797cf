import { wordsOf } from './text.ts';

/** How an `anchored` provider repeats the anchor. */
export const ANCHOR_STYLES = [
  'off',
  'exact',
  'preamble',
  'quoted',
  'curly',
  'spaces',
  'drift',
  'none',
] as const;
export type AnchorStyle = (typeof ANCHOR_STYLES)[number];

/** Shorter common text is a coincidence, not a quotation. */
const SHORTEST_ANCHOR = 8;
const DEFAULT_ANCHOR = 40;

/** The length of the longest prefix of `text` that `shown` ends with (Knuth, Morris and Pratt). */
export function overlap(text: string, shown: string): number {
  const joined = `${text}\u0000${shown.slice(-text.length)}`;
  const borders = new Int32Array(joined.length);
  for (let index = 1, border = 0; index < joined.length; index += 1) {
    while (border > 0 && joined[index] !== joined[border]) border = borders[border - 1] ?? 0;
    if (joined[index] === joined[border]) border += 1;
    borders[index] = border;
  }
  return text === '' ? 0 : (borders[joined.length - 1] ?? 0);
}

/** The rest of `tokens` after the first `length` characters of their text. */
export function piecesAfter(tokens: readonly string[], length: number): string[] {
  let skip = length;
  const left: string[] = [];
  for (const token of tokens) {
    if (skip < token.length) left.push(token.slice(skip));
    skip = Math.max(0, skip - token.length);
  }
  return left;
}

/**
 * The answer of a provider without prefill to a user turn that contains the interrupted answer and asks to
 * repeat its last words and to continue. The provider knows its own text, so it finds both in any wording of
 * the request. Without such a turn it answers from the beginning.
 */
export function anchoredPieces(
  tokens: readonly string[],
  request: string,
  style: AnchorStyle,
): string[] {
  const text = tokens.join('');
  const shown = quotedPrefix(text, request);
  if (shown.length < SHORTEST_ANCHOR) return [...tokens];
  const anchor = anchorOf(shown, request);
  const rest = piecesAfter(tokens, shown.length);
  switch (style) {
    case 'preamble':
      return [...wordsOf(`Sure, here is the rest of the answer: ${anchor.trimStart()}`), ...rest];
    case 'quoted':
      return [...wordsOf(`"${anchor.trim()}"`), ...rest];
    case 'curly':
      return [...wordsOf(curly(anchor)), ...rest];
    case 'spaces':
      return [...wordsOf(anchor.replaceAll(' ', '\n ')), ...rest];
    case 'drift':
      return [...wordsOf(drifted(anchor)), ...rest];
    case 'none':
      return rest;
    default:
      return [...wordsOf(anchor), ...rest];
  }
}

/** The longest beginning of the text that the request contains. */
function quotedPrefix(text: string, request: string): string {
  let best = 0;
  const start = text.slice(0, SHORTEST_ANCHOR);
  for (let at = request.indexOf(start); at >= 0; at = request.indexOf(start, at + 1)) {
    let length = start.length;
    while (length < text.length && text[length] === request[at + length]) length += 1;
    best = Math.max(best, length);
  }
  return text.slice(0, best);
}

/** The longest end of the shown text that the request quotes a second time. */
function anchorOf(shown: string, request: string): string {
  const elsewhere = request.split(shown).join('\u0000');
  for (
    let from = Math.max(0, shown.length - 400);
    from + SHORTEST_ANCHOR <= shown.length;
    from += 1
  ) {
    const candidate = shown.slice(from);
    if (elsewhere.includes(candidate)) return candidate;
  }
  return shown.slice(-DEFAULT_ANCHOR);
}

function curly(text: string): string {
  return text.replaceAll(/"([^"]*)"/gu, '“$1”').replaceAll("'", '’');
}

/** One word of the anchor is changed: such an answer is no continuation, however similar it looks. */
function drifted(anchor: string): string {
  const words = wordsOf(anchor);
  const middle = Math.floor(words.length / 2);
  return words.map((word, index) => (index === middle ? `${word}~` : word)).join('');
}
