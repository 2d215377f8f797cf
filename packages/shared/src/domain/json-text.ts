/*
 * Reading and changing single members of a JSON text without parsing and printing it again. A
 * request body goes to the provider as the client spelled it: JSON.stringify(JSON.parse(text))
 * would round 12345678901234567890, turn 1.0 into 1, move keys like "1" and drop duplicates.
 *
 * Everywhere: the text must be valid JSON (JSON.parse took it) with an object at the top. Anything
 * else is a TypeError or a wrong answer, but never an endless loop. One linear scan, without
 * recursion, so that neither size nor depth can hurt.
 */

/** Where a value's text is, without the white space around it: `text.slice(start, end)`. */
export interface Span {
  start: number;
  end: number;
}

/** The top-level members by unescaped name; of duplicates the last one, as JSON.parse has it. */
export function topLevelMembers(text: string): Map<string, Span> {
  const members = new Map<string, Span>();
  scanMembers(text, (name, start, end) => members.set(name, { start, end }));
  return members;
}

/** The text of one top-level member's value, of duplicates the last one's. */
export function memberText(text: string, name: string): string | undefined {
  let value: string | undefined;
  scanMembers(text, (found, start, end) => {
    if (found === name) value = text.slice(start, end);
  });
  return value;
}

/**
 * The top-level members that are whole in a text that may be no valid JSON, as texts. `isCut`: it broke
 * off behind them; false where the object has its end.
 */
export function readableMembers(text: string): { members: Map<string, string>; isCut: boolean } {
  const members = new Map<string, string>();
  try {
    // Not remembered: what stands before the break is wanted, too.
    walkMembers(text, (name, start, end) => {
      members.set(name, text.slice(start, end));
    });
    return { members, isCut: false };
  } catch {
    return { members, isCut: true };
  }
}

/**
 * The text without the given top-level member (of duplicates without any); the same text where there is
 * none. The other members stay as they are spelled, but for white space around commas.
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
 * The text with the given top-level members set; values are JSON texts themselves. An existing
 * member keeps its place and gets the new value, a new one is appended, and no other byte changes.
 *
 * Where a name is there twice, both get the new value: so a provider that takes the first of
 * duplicates reads the same as one that takes the last.
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
 * The same value in one line, to stand in an event stream's `data:` line. In valid JSON a raw line
 * break can only be white space between tokens, and there is always punctuation to keep those apart.
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
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

type Visit = (name: string, valueStart: number, valueEnd: number, nameStart: number) => void;

/** Characters from which on a text is not scanned twice in one turn of the event loop. */
const longText = 64 * 1024;

type Member = { name: string; start: number; end: number; nameStart: number };
type Scan = { text: string; members: readonly Member[]; lastEnd: number; empty: boolean };

/** The newest long text of this turn: what reads one member of a request mostly reads several. */
let newest: Scan | undefined;

/** Visits the members in their order. `lastEnd`: where a further one would be written. */
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
 * where a loop over 12 million of them runs interpreted until it is hot.
 */
const scalarEnd = /[,\]}\s]/g;
const structure = /["[\]{}]/g;
const noSpace = /[^ \n\r\t]/g;

/** Where the next match begins; the end of the text where there is none. */
function find(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex - 1 : text.length;
}

/** Brackets are counted, not matched: in valid JSON they match. */
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

/** From the opening quote to behind the closing one. */
function stringEnd(text: string, start: number): number {
  const quote = text.indexOf('"', start + 1);
  if (quote === -1) throw notAnObject();
  if (text.charCodeAt(quote - 1) !== BACKSLASH) return quote + 1;
  // In a text full of escapes a search for each quote costs more than a look at each character.
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code === BACKSLASH) at += 1;
  }
  throw notAnObject();
}

function skipSpace(text: string, from: number): number {
  // Mostly there is none.
  return isSpace(text.charCodeAt(from)) ? find(noSpace, text, from) : from;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
