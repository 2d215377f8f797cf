import { sql } from 'kysely';
import type { SqlBool } from 'kysely';
import type { LedgerDatabase } from '../database/open.ts';
import { behind } from '../database/paging.ts';
import type { Cursor, Page } from '../database/paging.ts';
import type { AttemptRow, RequestRow } from '../database/schema.ts';
import { filtered } from './filter.ts';
import type { Filter, Requests } from './filter.ts';
import { knownCost } from './known-cost.ts';

/* What the admin API asks the ledger. Values reach the database as parameters only, never as a part of the SQL. */

export const groupings = ['key', 'user', 'model', 'provider', 'status', 'hour', 'day'] as const;
export type Grouping = (typeof groupings)[number];

const columns = {
  key: 'key_id',
  user: 'user_id',
  model: 'model',
  provider: 'provider',
  status: 'status',
  hour: 'hour',
  day: 'day',
} as const satisfies Record<Grouping, keyof RequestRow>;

export type UsageRow = {
  requests: number;
  failed: number;
  rescued: number;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  /** Billionths of a USD of the requests whose price is known (`knownCost`). */
  cost: number | null;
  /** Requests whose price is unknown. */
  unpriced: number;
  /** Requests whose tokens are estimated in part. */
  estimated: number;
} & Partial<Record<(typeof columns)[Grouping], string | number | null>>;

/** Sums of the requests, by these columns and in their order. */
export async function usage(
  database: LedgerDatabase,
  filter: Filter,
  groups: readonly Grouping[],
): Promise<UsageRow[]> {
  const by = groups.map((group) => columns[group]);
  let query = filtered(database.selectFrom('millrace_requests'), filter)
    .select(by)
    .select(({ fn, eb }) => {
      const countIf = (condition: ReturnType<typeof eb>) =>
        fn.sum<number>(eb.case().when(condition).then(1).else(0).end());
      return [
        fn.countAll<number>().as('requests'),
        countIf(eb('status', '=', 'failed')).as('failed'),
        countIf(eb('rescues', '>', 0)).as('rescued'),
        fn.sum<number>('input_tokens').as('input_tokens'),
        fn.sum<number>('cached_tokens').as('cached_tokens'),
        fn.sum<number>('output_tokens').as('output_tokens'),
        fn.sum<number | null>('cost').as('cost'),
        countIf(eb('cost', 'is', null)).as('unpriced'),
        countIf(eb('estimated', '=', 1)).as('estimated'),
      ];
    });
  for (const column of by) query = query.groupBy(column).orderBy(column);
  const rows = (await query.execute()) as UsageRow[];
  // A sum over no rows: SQL returns one row of nulls.
  return rows
    .filter(({ requests }) => requests > 0)
    .map((row) => ({ ...row, cost: knownCost(row.cost, row.unpriced) }));
}

/** Rows that one page of a search for a text looks at: SQLite answers nothing else meanwhile. */
export const maxSearched = 200_000;

/** Requests behind the cursor, newest first. */
export async function requestsPage(
  database: LedgerDatabase,
  filter: Filter,
  { after, limit }: { after?: Cursor | undefined; limit: number },
): Promise<Page<RequestRow>> {
  const rest = filter.text === undefined ? undefined : await endOfSearch(database, filter, after);
  let query = filtered(database.selectFrom('millrace_requests').selectAll(), filter);
  if (after) query = query.where(behind('created_at', after));
  if (rest) query = query.where(sql<SqlBool>`(created_at, id) >= (${rest.time}, ${rest.id})`);
  const rows = await newestFirst(query).limit(limit).execute();
  return { rows, rest };
}

/** The last row that a search looks at; undefined if it reaches the end of the list. */
async function endOfSearch(
  database: LedgerDatabase,
  { from, to }: Filter,
  after: Cursor | undefined,
): Promise<Cursor | undefined> {
  // From the index by time alone.
  let query = database.selectFrom('millrace_requests').select(['created_at', 'id']);
  if (from !== undefined) query = query.where('created_at', '>=', from);
  if (to !== undefined) query = query.where('created_at', '<', to);
  if (after) query = query.where(behind('created_at', after));
  const last = await newestFirst(query)
    .limit(1)
    .offset(maxSearched - 1)
    .executeTakeFirst();
  return last && { time: last.created_at, id: last.id };
}

const newestFirst = <O>(query: Requests<O>): Requests<O> =>
  query.orderBy('created_at', 'desc').orderBy('id', 'desc');

export async function attemptsOf(
  database: LedgerDatabase,
  ids: readonly string[],
): Promise<Map<string, AttemptRow[]>> {
  const byRequest = new Map<string, AttemptRow[]>();
  if (ids.length === 0) return byRequest;
  const rows = await database
    .selectFrom('millrace_attempts')
    .selectAll()
    .where('request_id', 'in', ids)
    .orderBy('attempt')
    .execute();
  for (const row of rows) {
    const known = byRequest.get(row.request_id);
    if (known) known.push(row);
    else byRequest.set(row.request_id, [row]);
  }
  return byRequest;
}

export const requestById = (
  database: LedgerDatabase,
  id: string,
): Promise<RequestRow | undefined> =>
  database.selectFrom('millrace_requests').selectAll().where('id', '=', id).executeTakeFirst();
