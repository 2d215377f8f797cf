import { sql } from 'kysely';
import type { RawBuilder, SqlBool } from 'kysely';

/** A place in a list that is ordered by a time (milliseconds since the epoch) and an id, newest first. */
export type Cursor = { time: number; id: string };

/** Whether a row is behind the cursor. `timeColumn` and `id` are the columns of an index, which both databases follow. */
export const behind = (timeColumn: string, { time, id }: Cursor): RawBuilder<SqlBool> =>
  sql<SqlBool>`(${sql.ref(timeColumn)}, id) < (${time}, ${id})`;

/** `rest`: the database has looked no further than to this place, where more may follow though the page is not full. */
export type Page<Row> = { rows: readonly Row[]; rest?: Cursor | undefined };

export type PageOf<Row> = (place: {
  after: Cursor | undefined;
  limit: number;
}) => Promise<Page<Row>>;

/** All rows, read a page at a time. */
export async function* allRows<Row>(
  pageOf: PageOf<Row>,
  cursorOf: (row: Row) => Cursor,
): AsyncGenerator<Row> {
  let after: Cursor | undefined;
  for (;;) {
    const { rows, rest } = await pageOf({ after, limit: pageRows });
    yield* rows;
    const last = rows.at(-1);
    after = last !== undefined && rows.length === pageRows ? cursorOf(last) : rest;
    if (after === undefined) return;
  }
}

const pageRows = 1000;
