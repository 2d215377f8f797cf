import type { SelectQueryBuilder } from 'kysely';
import type { LedgerDatabase } from '../database/open.ts';
import type { AttemptRow, Database, RequestRow } from '../database/schema.ts';

/* What the admin API asks the ledger. Values reach the database as parameters only, never as a part of the SQL. */

/** Which requests. Times are milliseconds since the epoch; `from` is included, `to` is not. */
export type Filter = {
  from?: number | undefined;
  to?: number | undefined;
  key?: string | undefined;
  user?: string | undefined;
  session?: string | undefined;
  model?: string | undefined;
  provider?: string | undefined;
  status?: string | undefined;
};

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

type Requests<O> = SelectQueryBuilder<Database, 'millrace_requests', O>;

function filtered<O>(query: Requests<O>, filter: Filter): Requests<O> {
  const { from, to, key, user, session, model, provider, status } = filter;
  let result = query;
  if (from !== undefined) {
    result = result.where('created_at', '>=', from).where('day', '>=', startOfDay(from));
  }
  if (to !== undefined) result = result.where('created_at', '<', to).where('day', '<', to);
  if (key !== undefined) result = result.where('key_id', '=', key);
  if (user !== undefined) result = result.where('user_id', '=', user);
  if (session !== undefined) result = result.where('session', '=', session);
  if (model !== undefined) result = result.where('model', '=', model);
  if (provider !== undefined) result = result.where('provider', '=', provider);
  if (status !== undefined) result = result.where('status', '=', status);
  return result;
}

const dayMs = 86_400_000;
const startOfDay = (ms: number): number => Math.floor(ms / dayMs) * dayMs;

export type UsageRow = {
  requests: number;
  failed: number;
  rescued: number;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  /** Billionths of a USD of the requests whose price is known; null if none of them has one. */
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
  return rows.filter(({ requests }) => requests > 0);
}

/** A place in the list of requests, newest first. */
export type Cursor = { createdAt: number; id: string };

/** Requests behind the cursor, newest first. */
export function requestsPage(
  database: LedgerDatabase,
  filter: Filter,
  { after, limit }: { after?: Cursor | undefined; limit: number },
): Promise<RequestRow[]> {
  let query = filtered(database.selectFrom('millrace_requests').selectAll(), filter);
  if (after) {
    query = query.where((eb) =>
      eb.or([
        eb('created_at', '<', after.createdAt),
        eb.and([eb('created_at', '=', after.createdAt), eb('id', '<', after.id)]),
      ]),
    );
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute();
}

/** All of them, a page at a time. */
export async function* allRequests(
  database: LedgerDatabase,
  filter: Filter,
): AsyncGenerator<RequestRow> {
  let after: Cursor | undefined;
  for (;;) {
    const page = await requestsPage(database, filter, { after, limit: pageRows });
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < pageRows) return;
    after = { createdAt: last.created_at, id: last.id };
  }
}

const pageRows = 1000;

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
