/*
 * The language of the filter bar: terms `name:value`, several values by comma, a `-` before a term or a value excludes
 * it, a value in quotes is taken as it is, and all other words are free text. Pure: a text becomes the query of the API, and what running requests must
 * be like. A part that says nothing valid is kept with its problem, so that the bar can show it.
 */

/** What a term may name. */
export const filterNames = [
  'status',
  'model',
  'key',
  'provider',
  'error',
  'user',
  'session',
  'last',
  'from',
  'to',
] as const;
export type FilterName = (typeof filterNames)[number];

/** How requests end, and `rescued`: however they ended. The ledger knows these. */
const endedStatuses = ['completed', 'failed', 'cancelled', 'rescued'];
/** Of requests that have not ended. */
const openStatuses = ['queued', 'running'];
export const statusWords = [...endedStatuses, ...openStatuses, 'error'];

/** Names that take one value and cannot be excluded. */
const singleNames: ReadonlySet<FilterName> = new Set(['user', 'session', 'last', 'from', 'to']);

const maxValues = 50;
const maxTextChars = 200;
/** Characters of the bar. */
export const maxFilterChars = 2000;

export type Part = {
  /** As it stands in the bar. */
  source: string;
  /** Where it begins in the bar. */
  start: number;
  /** Undefined: free text. */
  name?: FilterName;
  some: readonly string[];
  not: readonly string[];
  /** Why it is left out. */
  problem?: string;
};

export type Filter = { parts: readonly Part[]; problems: readonly Part[] };

/** Never throws: what is not valid becomes a part with a problem. */
export function parseFilter(text: string): Filter {
  const parts = tokensOf(text.slice(0, maxFilterChars)).map(partOf);
  const seen = new Set<FilterName>();
  for (const part of parts) {
    const { name } = part;
    if (part.problem !== undefined || name === undefined || !singleNames.has(name)) continue;
    if (seen.has(name)) part.problem = `${name}: stands here twice`;
    seen.add(name);
  }
  return { parts, problems: parts.filter(({ problem }) => problem !== undefined) };
}

type Token = { source: string; start: number; name: string | undefined; value: string };

/** Splits at spaces that do not stand in quotes. A quote that is not closed ends with the text. */
function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(/(?:"[^"]*"?|[^\s"])+/g)) {
    const source = match[0];
    const named = /^(-?[A-Za-z_]+):(.*)$/s.exec(source);
    const [name, value] = named ? [named[1], named[2] ?? ''] : [undefined, source];
    tokens.push({ source, start: match.index, name, value });
  }
  return tokens;
}

function partOf({ source, start, name: written, value }: Token): Part {
  const empty = { source, start, some: [], not: [] };
  const invalid = (problem: string): Part => ({ ...empty, problem });
  if (written === undefined) {
    const word = value.replaceAll('"', '');
    if (/^-./.test(value)) return invalid('free text cannot be excluded');
    return word === '' ? invalid('nothing stands in the quotes') : { ...empty, some: [word] };
  }
  const isExcluded = written.startsWith('-');
  const lower = written.replace('-', '').toLowerCase();
  const name = filterNames.find((known) => known === lower);
  if (!name) return invalid(`no filter is called ${lower}: there are ${filterNames.join(', ')}`);
  const { some, not } = valuesOf(value, isExcluded);
  const all = [...some, ...not];
  if (all.length === 0) return invalid(`${name}: has no value`);
  if (all.length > maxValues) return invalid(`${name}: has more than ${maxValues} values`);
  const problem =
    problemOf(name, all) ??
    (singleNames.has(name) && (some.length !== 1 || not.length > 0)
      ? `${name}: takes one value, and cannot be excluded`
      : undefined);
  return problem === undefined ? { ...empty, name, some, not } : invalid(problem);
}

function valuesOf(text: string, isExcluded: boolean): { some: string[]; not: string[] } {
  const some: string[] = [];
  const not: string[] = [];
  for (const match of text.matchAll(/(?:"[^"]*"?|[^,"])+/g)) {
    const raw = match[0];
    const isNot = raw.startsWith('-');
    const value = (isNot ? raw.slice(1) : raw).replaceAll('"', '');
    if (value !== '') (isNot || isExcluded ? not : some).push(value);
  }
  return { some, not };
}

function problemOf(name: FilterName, values: readonly string[]): string | undefined {
  if (name === 'status') {
    const unknown = values.find((value) => !statusWords.includes(value));
    if (unknown !== undefined) {
      return `no status is called ${unknown}: there are ${statusWords.join(', ')}`;
    }
  }
  if (name === 'last' && values.some((value) => secondsOf(value) === undefined)) {
    return 'last: takes a duration, such as 15m, 6h or 7d';
  }
  if ((name === 'from' || name === 'to') && values.some((value) => !isTime(value))) {
    return `${name}: takes a time, such as 2026-11-30 or 2026-11-30T14:00:00Z`;
  }
  return undefined;
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

function secondsOf(text: string): number | undefined {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  return match ? Number(match[1]) * (unitSeconds[match[2] ?? ''] ?? 0) : undefined;
}

const isTime = (text: string): boolean =>
  /^\d{4}-\d\d-\d\d([Tt]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?)?$/.test(text) &&
  !Number.isNaN(Date.parse(text));

/** What a filter asks of one name: one of `some`, unless that is empty, and none of `not`. */
export type Choice = { some: readonly string[]; not: readonly string[] };

/** The valid terms of a name together: several terms of one name are alternatives, as several values are. */
export function choiceOf({ parts }: Filter, name: FilterName): Choice {
  const of = parts.filter((part) => part.name === name);
  return { some: of.flatMap(({ some }) => some), not: of.flatMap(({ not }) => not) };
}

/** The words that belong to no term. */
export const freeTextOf = ({ parts }: Filter): string =>
  parts
    .filter(({ name, problem }) => name === undefined && problem === undefined)
    .flatMap(({ some }) => some)
    .join(' ')
    .slice(0, maxTextChars);

/**
 * The parameters of `GET /admin/requests`; undefined: no ended request can match, as with `status:running`. `{ago:…}`
 * stands for a time before each call (`usePoll`).
 */
export function apiQueryOf(filter: Filter): Record<string, string> | undefined {
  const query: Record<string, string> = {};
  for (const name of ['model', 'key', 'provider', 'error'] as const) {
    const { some, not } = choiceOf(filter, name);
    const values = [...some.map(escaped), ...not.map((value) => `-${escaped(value)}`)];
    if (values.length > 0) query[name] = values.join(',');
  }
  const status = choiceOf(filter, 'status');
  const ended = status.some.filter((word) => !openStatuses.includes(word));
  if (status.some.length > 0 && ended.length === 0) return undefined;
  const notEnded = status.not.filter((word) => !openStatuses.includes(word));
  const words = [...ended, ...notEnded.map((word) => `-${word}`)];
  if (words.length > 0) query['status'] = words.join(',');
  for (const name of ['user', 'session', 'from', 'to'] as const) {
    const [value] = choiceOf(filter, name).some;
    if (value !== undefined) query[name] = value;
  }
  const [last] = choiceOf(filter, 'last').some;
  const seconds = last === undefined ? undefined : secondsOf(last);
  if (seconds !== undefined) query['from'] = `{ago:${seconds}}`;
  const text = freeTextOf(filter);
  if (text !== '') query['q'] = text;
  return query;
}

/** A value in a list of the API, where a comma separates and a leading `-` excludes. */
const escaped = (value: string): string => value.replaceAll(/[\\,]|^-/g, String.raw`\$&`);

/** What a running or waiting request is matched by. */
export type Open = {
  id: string;
  model: string | null;
  key: string | null;
  provider: string | null;
  state: 'queued' | 'running';
  rescues: number;
};

/** Whether an open request belongs into the list. What is not known of it before its end matches nothing. */
export function matchesOpen(filter: Filter, open: Open): boolean {
  const { some, not } = choiceOf(filter, 'status');
  const is = (word: string) => (word === 'rescued' ? open.rescues > 0 : word === open.state);
  if ((some.length > 0 && !some.some(is)) || not.some(is)) return false;
  for (const name of ['error', 'user', 'session', 'to'] as const) {
    if (choiceOf(filter, name).some.length > 0) return false;
  }
  const text = freeTextOf(filter).toLowerCase();
  return (
    allows(choiceOf(filter, 'model'), open.model) &&
    allows(choiceOf(filter, 'key'), open.key) &&
    allows(choiceOf(filter, 'provider'), open.provider) &&
    open.id.toLowerCase().includes(text)
  );
}

const allows = ({ some, not }: Choice, value: string | null): boolean =>
  (some.length === 0 || (value !== null && some.includes(value))) &&
  (value === null || !not.includes(value));

/** Whether a term with only this value stands in the bar. */
export const hasTerm = (text: string, name: FilterName, value: string): boolean =>
  parseFilter(text).parts.some((part) => isTerm(part, name, value));

const isTerm = (part: Part, name: FilterName, value: string): boolean =>
  part.name === name && part.not.length === 0 && part.some.length === 1 && part.some[0] === value;

/** The bar without the term if it had it, otherwise with it in place of the name's other terms. */
export function toggleTerm(text: string, name: FilterName, value: string): string {
  const { parts } = parseFilter(text);
  const isOn = parts.some((part) => isTerm(part, name, value));
  const rest = parts.filter((part) => part.name !== name).map(({ source }) => source);
  return (isOn ? rest : [...rest, termOf(name, value)]).join(' ');
}

/** A term as one writes it: in quotes if the value needs them. */
export const termOf = (name: FilterName, value: string): string =>
  `${name}:${/[\s",]|^-/.test(value) ? `"${value.replaceAll('"', '')}"` : value}`;
