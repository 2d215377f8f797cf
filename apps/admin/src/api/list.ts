import type { FastifyReply } from 'fastify';
import { allRows } from '../database/paging.ts';
import type { Cursor, PageOf } from '../database/paging.ts';
import { readCursor, rejectPaging, writeCursor } from './cursor.ts';
import { readCount } from './parameters.ts';
import type { Query } from './parameters.ts';
import { readFormat, sendRows } from './rendering.ts';
import type { Row } from './rendering.ts';

/** The parameters of every list. */
export const listNames = ['format', 'cursor', 'limit'] as const;

type List<R> = {
  pageOf: PageOf<R>;
  cursorOf(row: R): Cursor;
  /** Rows of a page as JSON has them. */
  views(rows: readonly R[]): Promise<readonly unknown[]>;
  /** A row as CSV and NDJSON have it. */
  line(row: R): Row;
  columns: readonly string[];
  /** The file name of CSV and NDJSON, without its ending. */
  name: string;
};

/**
 * Reads the parameters of a list, and returns a function that sends it: a page as JSON with the cursor of the next one, or all of
 * it as CSV or NDJSON. Throws a 400.
 */
export function readList(query: Query): <R>(reply: FastifyReply, list: List<R>) => unknown {
  const format = readFormat(query);
  const limit = readCount(query, 'limit', { fallback: 100, most: 1000 });
  const after = readCursor(query);
  if (format !== 'json') rejectPaging(query);
  return async (reply, { pageOf, cursorOf, views, line, columns, name }) => {
    if (format !== 'json') {
      const rows = mapped(allRows(pageOf, cursorOf), line);
      return sendRows(reply, format, { rows, columns, name });
    }
    const page = await pageOf({ after, limit: limit + 1 });
    const rows = page.rows.slice(0, limit);
    const last = rows.at(-1);
    const next = last && page.rows.length > limit ? cursorOf(last) : page.rest;
    return { data: await views(rows), next: next ? writeCursor(next) : null };
  };
}

async function* mapped<R>(rows: AsyncIterable<R>, line: (row: R) => Row): AsyncGenerator<Row> {
  for await (const row of rows) yield line(row);
}
