/*
 * Reads and changes single members of a JSON text without parsing and serializing it. A request body goes to
 * the provider as the client wrote it: JSON.stringify(JSON.parse(text)) would round 12345678901234567890,
 * turn 1.0 into 1, move keys like "1" and drop duplicates.
 *
 * All functions require valid JSON (accepted by JSON.parse) with an object at the top. Anything else is a
 * TypeError or a wrong result, but never an endless loop. They make one linear scan without recursion, so
 * neither size nor depth is a risk.
 */

/** The range of a value's text, without the white space around it: `text.slice(start, end)`. */
export interface Span {
  start: number;
  end: number;
}

/** The top-level members by unescaped name; for duplicates the last one, as in JSON.parse. */
export function topLevelMembers(text: string): Map<string, Span> {
  const members = new Map<string, Span>();
  scanMembers(text, (name, start, end) => members.set(name, { start, end }));
  return members;
}

/** The texts of an array's items, in order; nothing for any other text. */
export function* itemTexts(text: string): Generator<string, void> {
  let at = skipSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_BRACKET) return;
  at = skipSpace(text, at + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_BRACKET) {
    const end = valueEnd(text, at);
    yield text.slice(at, end);
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
}

/** The text of one top-level member's value; for duplicates the last one's. */
export function memberText(text: string, name: string): string | undefined {
  let value: string | undefined;
  scanMembers(text, (found, start, end) => {
    if (found === name) value = text.slice(start, end);
  });
  return value;
}

/**
 * The complete top-level members of a text that may be invalid JSON, as texts. `isCut`: the text breaks off
 * after them; false if the object has its end.
 */
export function readableMembers(text: string): { members: Map<string, string>; isCut: boolean } {
  const members = new Map<string, string>();
  try {
    // The cache is not used: the members before the break are needed, too.
    walkMembers(text, (name, start, end) => {
      members.set(name, text.slice(start, end));
    });
    return { members, isCut: false };
  } catch {
    return { members, isCut: true };
  }
}

/**
 * The text without the given top-level member (and its duplicates); the same text if there is none. The other
 * members stay as they are written, except for white space around commas.
 */
export function withoutMember(text: string, name: string): string {
  if (!text.includes(name)) return text;
  const kept: string[] = [];
  let count = 0;
  const { lastEnd } = scanMembers(text, (found, _start, end, nameStart) => {
    count += 1;
    if (found !== name) kept.push(text.slice(nameStart, end));
  });
  if (kept.length === count) return text;
  return text.slice(0, text.indexOf('{') + 1) + kept.join(',') + text.slice(lastEnd);
}

/**
 * The text with the given top-level members set; values are JSON texts themselves. An existing member keeps
 * its position and gets the new value, a new one is appended, and no other byte changes.
 *
 * If a name occurs twice, both get the new value, so that a provider that uses the first of duplicates reads
 * the same as one that uses the last.
 */
export function setMembers(text: string, members: Readonly<Record<string, string>>): string {
  const missing = new Map(Object.entries(members));
  let result = '';
  let copied = 0;
  const { lastEnd, empty } = scanMembers(text, (name, start, end) => {
    if (!Object.hasOwn(members, name)) return;
    result += text.slice(copied, start) + members[name];
    copied = end;
    missing.delete(name);
  });
  if (missing.size > 0) {
    result += text.slice(copied, lastEnd);
    copied = lastEnd;
    let separator = empty ? '' : ',';
    for (const [name, value] of missing) {
      result += `${separator}${JSON.stringify(name)}:${value}`;
      separator = ',';
    }
  }
  return copied === 0 ? text : result + text.slice(copied);
}

/**
 * The same value on one line, for the `data:` line of an event stream. In valid JSON a raw line break can
 * only be white space between tokens, which punctuation separates anyway.
 */
export function singleLine(text: string): string {
  if (!text.includes('\n') && !text.includes('\r')) return text;
  return text.replaceAll(/[\r\n]+/g, '');
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

type Visit = (name: string, valueStart: number, valueEnd: number, nameStart: number) => void;

/** Texts of at least this length are not scanned twice in one turn of the event loop. */
const longText = 64 * 1024;

type Member = { name: string; start: number; end: number; nameStart: number };
type Scan = { text: string; members: readonly Member[]; lastEnd: number; empty: boolean };

/** The newest long text of this turn: code that reads one member of a request usually reads several. */
let newest: Scan | undefined;

/** Visits the members in order. `lastEnd`: where a further member would be inserted. */
function scanMembers(text: string, visit: Visit): { lastEnd: number; empty: boolean } {
  if (text.length < longText) return walkMembers(text, visit);
  if (newest?.text !== text) {
    const members: Member[] = [];
    const ends = walkMembers(text, (name, start, end, nameStart) =>
      members.push({ name, start, end, nameStart }),
    );
    if (!newest) setImmediate(() => (newest = undefined));
    newest = { text, members, ...ends };
  }
  const scan = newest;
  for (const { name, start, end, nameStart } of scan.members) visit(name, start, end, nameStart);
  return scan;
}

function walkMembers(text: string, visit: Visit): { lastEnd: number; empty: boolean } {
  let at = skipSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_BRACE) throw notAnObject();
  let lastEnd = at + 1;
  at = skipSpace(text, lastEnd);
  if (text.charCodeAt(at) === CLOSE_BRACE) return { lastEnd, empty: true };
  for (;;) {
    if (text.charCodeAt(at) !== QUOTE) throw notAnObject();
    const nameStart = at;
    const nameEnd = stringEnd(text, at);
    const name = unescaped(text, at, nameEnd);
    at = skipSpace(text, nameEnd);
    if (text.charCodeAt(at) !== COLON) throw notAnObject();
    const start = skipSpace(text, at + 1);
    lastEnd = valueEnd(text, start);
    visit(name, start, lastEnd, nameStart);
    at = skipSpace(text, lastEnd);
    const code = text.charCodeAt(at);
    if (code === CLOSE_BRACE) return { lastEnd, empty: false };
    if (code !== COMMA) throw notAnObject();
    at = skipSpace(text, at + 1);
  }
}

function notAnObject(): TypeError {
  return new TypeError('Not the JSON text of an object');
}

function unescaped(text: string, start: number, end: number): string {
  const name = text.slice(start + 1, end - 1);
  if (!name.includes('\\')) return name;
  return String(JSON.parse(text.slice(start, end)));
}

function valueEnd(text: string, start: number): number {
  const code = text.charCodeAt(start);
  if (code === QUOTE) return stringEnd(text, start);
  if (code === OPEN_BRACE || code === OPEN_BRACKET) return containerEnd(text, start);
  return find(scalarEnd, text, start);
}

/*
 * Long stretches are searched with regular expressions: their code is compiled from the first character on,
 * while a loop over 12 million characters is interpreted until it is hot.
 */
const scalarEnd = /[,\]}\s]/g;
const structure = /["[\]{}]/g;
const noSpace = /[^ \n\r\t]/g;

/** Where the next match begins, or the end of the text. */
function find(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex - 1 : text.length;
}

/** Brackets are only counted: in valid JSON they match. */
function containerEnd(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while ((at = find(structure, text, at)) < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
      continue;
    }
    at++;
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if (--depth === 0) break;
  }
  return at;
}

/** From the opening quote to the index after the closing one. */
function stringEnd(text: string, start: number): number {
  const quote = text.indexOf('"', start + 1);
  if (quote === -1) throw notAnObject();
  if (text.charCodeAt(quote - 1) !== BACKSLASH) return quote + 1;
  // In a text with many escapes a search for each quote costs more than a look at each character.
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) at += 1;
  }
  throw notAnObject();
}

function skipSpace(text: string, from: number): number {
  // Usually there is no white space.
  return isSpace(text.charCodeAt(from)) ? find(noSpace, text, from) : from;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
