import type { Choice, Filter } from '../ledger/filter.ts';
import { badParameter } from './admin-error.ts';
import { readText, readTime } from './parameters.ts';
import type { Query } from './parameters.ts';

/** The filters of everything that the ledger answers. */
export const filterNames = [
  'from',
  'to',
  'key',
  'user',
  'session',
  'model',
  'provider',
  'status',
  'error',
];

const statuses = ['completed', 'failed', 'cancelled', 'rescued'];

/** Throws a 400. */
export function readFilter(query: Query): Filter {
  const status = readChoice(query, 'status');
  return {
    from: readTime(query, 'from'),
    to: readTime(query, 'to'),
    key: readChoice(query, 'key'),
    user: readText(query, 'user'),
    session: readText(query, 'session'),
    model: readChoice(query, 'model'),
    provider: readChoice(query, 'provider'),
    status: status && { some: status.some.map(statusOf), not: status.not.map(statusOf) },
    error: readChoice(query, 'error'),
  };
}

function statusOf(word: string): string {
  const status = word === 'error' ? 'failed' : word;
  if (!statuses.includes(status)) {
    throw badParameter(
      'status',
      `expected some of ${statuses.join(', ')}, error (failed), each also with a - before it`,
    );
  }
  return status;
}

const maxValues = 50;
const maxSearchChars = 200;

/**
 * Values, separated by commas; one with a `-` before it is excluded. A backslash before a comma, a first `-` or a backslash makes it
 * part of the value.
 */
function readChoice(query: Query, name: string): Choice | undefined {
  const text = readText(query, name);
  if (text === undefined) return undefined;
  const values = [...new Set(text.match(/(?:\\.|[^,\\]|\\$)+/gs))];
  if (values.length > maxValues) throw badParameter(name, `expected at most ${maxValues} values`);
  const not = values.filter((value) => value.startsWith('-')).map((value) => value.slice(1));
  if (values.length === 0 || not.includes('')) {
    throw badParameter(name, 'expected values, separated by commas');
  }
  const some = values.filter((value) => !value.startsWith('-'));
  return { some: some.map(unescaped), not: not.map(unescaped) };
}

const unescaped = (value: string): string => value.replaceAll(/\\([\\,-])/g, '$1');

/** `q`, which only the list of requests has: a search reads rows, not an index. Throws a 400. */
export function readSearch(query: Query): string | undefined {
  const text = readText(query, 'q')?.trim();
  if (text === undefined || text === '') return undefined;
  if (text.length > maxSearchChars) {
    throw badParameter('q', `expected at most ${maxSearchChars} characters`);
  }
  return text;
}
