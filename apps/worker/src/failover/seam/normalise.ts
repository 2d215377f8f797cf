/** A text as two writers would agree on it, with the way back: `starts[i]` is where character i came from. */
export type Normalised = { text: string; starts: number[]; ends: number[] };

const quotes = new Map([
  ...Array.from('\u2018\u2019\u201A\u201B\u2032\u0060\u00B4', (quote) => [quote, "'"] as const),
  ...Array.from('\u201C\u201D\u201E\u201F\u2033\u00AB\u00BB', (quote) => [quote, '"'] as const),
]);

const isSpace = (char: string): boolean => /\s/.test(char);

/** White space in one, quotation marks straight. Everything else is itself. */
export function normalise(text: string): Normalised {
  let out = '';
  const starts: number[] = [];
  const ends: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? '';
    if (isSpace(char)) {
      if (out.endsWith(' ')) {
        ends[ends.length - 1] = i + 1;
        continue;
      }
      out += ' ';
    } else out += quotes.get(char) ?? char;
    starts.push(i);
    ends.push(i + 1);
  }
  return { text: out, starts, ends };
}
