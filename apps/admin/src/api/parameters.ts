import { badParameter } from './admin-error.ts';

/* The query parameters of the admin API. Each reader throws a 400 that names the parameter. */

export type Query = Readonly<Record<string, unknown>>;

/** Rejects parameters that no reader knows: a misspelt filter would otherwise return everything. */
export function knownOnly(query: Query, known: readonly string[]): void {
  for (const name of Object.keys(query)) {
    if (!known.includes(name)) {
      throw badParameter(name, `unknown parameter; known are ${known.join(', ') || 'none'}`);
    }
  }
}

export function readText(query: Query, name: string): string | undefined {
  const value = query[name];
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string') throw badParameter(name, 'expected it once');
  if (value.includes('\0')) throw badParameter(name, 'has a character that no value has');
  return value;
}

/** Milliseconds since the epoch, from RFC 3339 or seconds since the epoch. */
export function readTime(query: Query, name: string): number | undefined {
  const text = readText(query, name);
  if (text === undefined) return undefined;
  const ms = parseTime(text);
  if (ms === undefined) throw badParameter(name, timeExpectation);
  return ms;
}

export const timeExpectation = 'expected a time as RFC 3339 (2026-11-30T00:00:00Z) or in seconds';

/** Undefined for a text that is no time. */
export function parseTime(text: string): number | undefined {
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : rfc3339(text);
  if (ms === undefined || !Number.isSafeInteger(Math.round(ms)) || ms > maxTime) return undefined;
  return Math.round(ms);
}

/** The last millisecond that a Date can have. */
const maxTime = 8.64e15;

function rfc3339(text: string): number | undefined {
  // A `+` in a query that was not encoded is a space.
  const zoned = text.replace(/ (\d\d:\d\d)$/, '+$1');
  if (!/^\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?)?$/.test(zoned)) {
    return undefined;
  }
  // A time without a zone is UTC, as a date without a time is.
  const isLocal = /[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(zoned);
  const ms = Date.parse(isLocal ? `${zoned}Z` : zoned);
  return Number.isNaN(ms) ? undefined : ms;
}

export function readCount(
  query: Query,
  name: string,
  { fallback, most }: { fallback: number; most: number },
): number {
  const text = readText(query, name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) {
    throw badParameter(name, `expected a whole number from 1 to ${most}`);
  }
  return value;
}

/** Some of these words, separated by commas. */
export function readWords<T extends string>(query: Query, name: string, known: readonly T[]): T[] {
  const text = readText(query, name) ?? '';
  const words = text.split(',').filter((word) => word !== '');
  return [...new Set(words)].map((word) => {
    const found = known.find((one) => one === word);
    if (found === undefined) throw badParameter(name, `expected some of ${known.join(', ')}`);
    return found;
  });
}

export function readWord<T extends string>(
  query: Query,
  name: string,
  known: readonly T[],
): T | undefined {
  const words = readWords(query, name, known);
  if (words.length > 1) throw badParameter(name, `expected one of ${known.join(', ')}`);
  return words[0];
}
