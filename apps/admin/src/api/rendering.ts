import type { FastifyReply } from 'fastify';
import { Readable } from 'node:stream';
import { readWord } from './parameters.ts';
import type { Query } from './parameters.ts';

/* The three forms of a list: one JSON object, CSV with a head, or one JSON object for each line. */

const formats = ['json', 'csv', 'ndjson'] as const;
export type Format = (typeof formats)[number];

export const readFormat = (query: Query): Format => readWord(query, 'format', formats) ?? 'json';

export type Row = Readonly<Record<string, unknown>>;

/** Sends rows as they come, without holding all of them: for CSV and NDJSON. */
export function sendRows(
  reply: FastifyReply,
  format: Exclude<Format, 'json'>,
  { rows, columns, name }: { rows: AsyncIterable<Row>; columns: readonly string[]; name: string },
): FastifyReply {
  const text = format === 'csv' ? csvLines(rows, columns) : jsonLines(rows);
  return reply
    .header('content-disposition', `attachment; filename="${name}.${format}"`)
    .type(format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson')
    .send(Readable.from(text));
}

async function* jsonLines(rows: AsyncIterable<Row>): AsyncGenerator<string> {
  for await (const row of rows) yield `${JSON.stringify(row)}\n`;
}

/** RFC 4180. */
async function* csvLines(
  rows: AsyncIterable<Row>,
  columns: readonly string[],
): AsyncGenerator<string> {
  yield `${columns.join(',')}\r\n`;
  for await (const row of rows) {
    yield `${columns.map((column) => csvCell(row[column])).join(',')}\r\n`;
  }
}

/** A spreadsheet takes a text that begins with one of these for a formula; clients choose some of our texts. */
const formula = /^[=+\-@\t\r]/;

function csvCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const safe = formula.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
