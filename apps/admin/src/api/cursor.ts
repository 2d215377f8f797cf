import type { Cursor } from '../database/paging.ts';
import { badParameter } from './admin-error.ts';
import { readText } from './parameters.ts';
import type { Query } from './parameters.ts';

/** The `next` of a list. */
export const writeCursor = ({ time, id }: Cursor): string =>
  Buffer.from(`${time} ${id}`).toString('base64url');

/** A list as CSV or NDJSON is whole. Throws a 400. */
export function rejectPaging(query: Query): void {
  for (const name of ['cursor', 'limit']) {
    if (query[name] !== undefined) throw badParameter(name, 'only with format=json');
  }
}

/** Throws a 400. */
export function readCursor(query: Query): Cursor | undefined {
  const text = readText(query, 'cursor');
  if (text === undefined) return undefined;
  const match = /^(\d{1,16}) (\S{1,64})$/.exec(Buffer.from(text, 'base64url').toString());
  if (!match) throw badParameter('cursor', 'expected the `next` of an earlier answer');
  return { time: Number(match[1]), id: match[2] ?? '' };
}
