import { filterNames, statusWords, termOf } from './filter.ts';
import type { FilterName } from './filter.ts';

/** Values that a fleet has, for suggestions. */
export type KnownValues = Partial<Record<FilterName, readonly string[]>>;

/** A bar that a suggestion leads to, and what it is called in the list. */
export type Suggestion = { label: string; note?: string; text: string; caret: number };

const maxSuggestions = 8;

const notes: Readonly<Record<FilterName, string>> = {
  status: 'completed, failed, rescued, running …',
  model: 'the model that was asked for',
  key: 'id of an API key',
  provider: 'who served it',
  error: 'code of an error',
  user: 'the client’s user',
  session: 'the client’s session',
  last: '15m, 6h, 7d',
  from: '2026-11-30T14:00:00Z',
  to: '2026-11-30T15:00:00Z',
};

const always: KnownValues = { status: statusWords, last: ['15m', '1h', '24h', '7d', '30d'] };

/** What may stand at the caret: names of filters, or values of the name that stands there. */
export function suggestionsAt(text: string, caret: number, known: KnownValues): Suggestion[] {
  const start = wordStart(text, caret);
  const typed = text.slice(start, caret);
  const rest = text.slice(caret);
  // In the middle of a word, a suggestion would tear it.
  if (/^\S/.test(rest)) return [];
  const place = (word: string, end: string) => {
    const before = text.slice(0, start) + word + end;
    return { text: before + (end === '' ? rest : rest.trimStart()), caret: before.length };
  };
  const sign = typed.startsWith('-') ? '-' : '';
  const colon = typed.indexOf(':');
  if (colon < 0) {
    const begun = typed.slice(sign.length).toLowerCase();
    return filterNames
      .filter((name) => name.startsWith(begun) && name !== begun)
      .map((name) => ({
        label: `${sign}${name}:`,
        note: notes[name],
        ...place(`${sign}${name}:`, ''),
      }));
  }
  const name = filterNames.find((one) => one === typed.slice(sign.length, colon).toLowerCase());
  if (!name) return [];
  const values = typed.slice(colon + 1).split(',');
  const last = values.at(-1) ?? '';
  const not = last.startsWith('-') ? '-' : '';
  const begun = last.slice(not.length).replaceAll('"', '').toLowerCase();
  const head = [...values.slice(0, -1), ''].join(',') + not;
  return (always[name] ?? known[name] ?? [])
    .filter((value) => value.toLowerCase().includes(begun) && value.toLowerCase() !== begun)
    .toSorted((one, other) => Number(starts(other, begun)) - Number(starts(one, begun)))
    .slice(0, maxSuggestions)
    .map((value) => {
      const quoted = termOf(name, value).slice(name.length + 1);
      return { label: value, ...place(`${sign}${name}:${head}${quoted}`, ' ') };
    });
}

const starts = (value: string, begun: string): boolean => value.toLowerCase().startsWith(begun);

/** Where the word at the caret begins: behind the last space that does not stand in quotes. */
function wordStart(text: string, caret: number): number {
  let start = 0;
  let isQuoted = false;
  for (let i = 0; i < caret; i++) {
    if (text[i] === '"') isQuoted = !isQuoted;
    else if (!isQuoted && /\s/.test(text[i] ?? '')) start = i + 1;
  }
  return start;
}
