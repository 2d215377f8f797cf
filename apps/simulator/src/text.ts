/** The style of the simulated text, which is a pure function of it and a token's number. */
export interface TextStyle {
  /** 0 is the plain text; any other number is another text, different from its first token on. */
  readonly seed: number;
  /** From this token on the text differs from that without `diverge`; 0 is never. */
  readonly diverge: number;
  /** The numbered words start again after this many, as in a list or a table; 0 is never. */
  readonly repeat: number;
  /** 1 adds emoji and other multi-byte characters to each word. */
  readonly unicode: number;
  /** 1 puts every fifth word in straight double quotes. */
  readonly quotes: number;
}

const PLAIN: TextStyle = { seed: 0, diverge: 0, repeat: 0, unicode: 0, quotes: 0 };

// Both openings have ten tokens, so that a word's number is its token's number with every seed.
const OPENING = "This| is| a| simulated| answer| from| Millrace's| built-in| test| provider.".split(
  '|',
);
const OTHER_OPENING =
  "Another| simulated| answer| with| seed| SEED| from| Millrace's| test| provider.".split('|');

// Two, three and four bytes in UTF-8, a joined family, a combining mark: characters that naive splitting
// breaks.
const GLYPHS = ['é', '漢', '🚀', '👩‍👩‍👧', 'e\u0301', '🏳️‍🌈'];

/** Token number `index` (from 0) of the simulated text: the opening words, then ` w10`, ` w11`, … */
export function tokenAt(index: number, style: Partial<TextStyle> = {}): string {
  const { seed, diverge, repeat, unicode, quotes } = { ...PLAIN, ...style };
  const diverged = diverge > 0 && index >= diverge ? 'x' : '';
  const opening = seed === 0 ? OPENING : OTHER_OPENING;
  const spoken = opening[index];
  if (spoken !== undefined) return spoken.replace('SEED', String(seed)) + diverged;
  const number = repeat > 0 ? opening.length + ((index - opening.length) % repeat) : index;
  const glyph = unicode === 1 ? (GLYPHS[number % GLYPHS.length] ?? '') : '';
  const word = `w${number}${seed === 0 ? '' : `s${seed}`}${diverged}${glyph}`;
  return quotes === 1 && number % 5 === 0 ? ` "${word}"` : ` ${word}`;
}

/** The tokens of a whole answer. Choice `choice` of a request with n > 1 uses seed + choice. */
export function expectedTokens(
  wanted: { tokens: number; choice?: number } & Partial<TextStyle>,
): string[] {
  const { tokens, choice = 0, ...style } = wanted;
  const seed = (style.seed ?? 0) + choice;
  return Array.from({ length: tokens }, (_, index) => tokenAt(index, { ...style, seed }));
}

/** The text of a whole answer, to compare with a received one. */
export function expectedText(
  wanted: { tokens: number; choice?: number } & Partial<TextStyle>,
): string {
  return expectedTokens(wanted).join('');
}

/** The tokens of `reasoning=N`. */
export function expectedReasoning(count: number): string[] {
  return Array.from({ length: count }, (_, index) => ` r${index}`);
}

export const EXPECTED_REFUSAL =
  "I'm sorry, this simulated answer from Millrace's test provider is a refusal.";

/** The JSON arguments of tool call number `call` (from 0); `words` sets how long they are. */
export function expectedArguments(call: number, words: number): string {
  const text = Array.from({ length: words }, (_, index) => `w${index}`).join(' ');
  return JSON.stringify({ simulated: true, call, text });
}

/** The longest text that `bigText` has made, and its tokens: a shorter one is its beginning. */
const longest = { text: '', tokens: 0 };
const tokensAtOnce = 10_000;

/** The text of `big:bytes=N`: exactly N characters of one byte each. */
export function bigText(bytes: number): string {
  while (longest.text.length < bytes) {
    const from = longest.tokens;
    longest.text += Array.from({ length: tokensAtOnce }, (_, i) => tokenAt(from + i)).join('');
    longest.tokens += tokensAtOnce;
  }
  return longest.text.slice(0, bytes);
}

/** Cuts a text into words that keep their leading space, as models stream them. */
export function wordsOf(text: string): string[] {
  return text.match(/\s*\S+\s*$|\s*\S+/gu) ?? (text === '' ? [] : [text]);
}

/** Cuts a text into pieces of about `size` characters, never inside a surrogate pair. */
export function piecesOf(text: string, size: number): string[] {
  const pieces: string[] = [];
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + size, text.length);
    const last = text.charCodeAt(to - 1);
    if (to < text.length && last >= 0xd800 && last <= 0xdbff) to += 1;
    pieces.push(text.slice(from, to));
    from = to;
  }
  return pieces;
}
