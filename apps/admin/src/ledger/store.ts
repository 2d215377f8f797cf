import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { Prices } from '@millrace/shared/cost/prices';
import { createInsert } from '../database/insert.ts';
import type { LedgerDatabase } from '../database/open.ts';
import type { AttemptRow, RequestRow } from '../database/schema.ts';
import { attemptRows, endColumns, factColumns, provisionalEnd, requestRow } from './rows.ts';
import type { EndColumns, FactColumns } from './rows.ts';

/**
 * Stores entries in one transaction: all of them or none. An entry that is stored again changes nothing, so it may be
 * delivered more than once. Entries of one request may come in any order: its end and its facts are columns of their own, and
 * whichever comes first inserts the row.
 */
export async function storeEntries(
  database: LedgerDatabase,
  entries: readonly LedgerEntry[],
  prices: Prices,
): Promise<void> {
  if (entries.length === 0) return;
  const known = entries.map((entry) => {
    const rows = attemptRows(entry.id, entry.facts?.attempts ?? [], prices);
    const end = entry.end ? endColumns(entry, entry.end) : provisionalEnd(entry, rows);
    return { entry, rows, request: requestRow(entry, end, factColumns(entry, rows)) };
  });
  const requestsOf = (matches: (entry: LedgerEntry) => boolean) => [
    ...new Map(
      known
        .filter(({ entry }) => matches(entry))
        .map(({ request }): [string, RequestRow] => [request.id, request]),
    ).values(),
  ];
  const attempts = known.flatMap(({ rows }) => rows);
  const insert = insertsOf(database);
  await database.transaction().execute(async (transaction) => {
    await insert.attempts(transaction, uniqueAttempts(attempts));
    await insert.whole(
      transaction,
      requestsOf(({ end, facts }) => end !== undefined && facts !== undefined),
    );
    await insert.ends(
      transaction,
      requestsOf(({ end, facts }) => end !== undefined && facts === undefined),
    );
    await insert.facts(
      transaction,
      requestsOf(({ end, facts }) => end === undefined && facts !== undefined),
    );
  });
}

const endNames = [
  'ended_at',
  'duration_ms',
  'status',
  'finish_reason',
  'error_code',
  'error_message',
] as const satisfies (keyof EndColumns)[];

const factNames = [
  'provider',
  'target_model',
  'attempts',
  'queue_ms',
  'input_tokens',
  'cached_tokens',
  'output_tokens',
  'reasoning_tokens',
  'estimated',
  'incomplete',
  'cost',
  'user_id',
  'session',
  'prompt_hash',
  'rescues',
  'max_gap_ms',
  'first_token_ms',
] as const satisfies (keyof FactColumns)[];

const attemptNames = [
  'first_token_at',
  'ended_at',
  'outcome',
  'detail',
  'input_tokens',
  'cached_tokens',
  'output_tokens',
  'reasoning_tokens',
  'estimated',
  'usage',
  'cost',
] as const satisfies (keyof AttemptRow)[];

type Inserts = {
  attempts: ReturnType<typeof createInsert<'millrace_attempts'>>;
  /** Requests of which an entry has the end and the facts, and those of which it has one of the two. */
  whole: ReturnType<typeof createInsert<'millrace_requests'>>;
  ends: ReturnType<typeof createInsert<'millrace_requests'>>;
  facts: ReturnType<typeof createInsert<'millrace_requests'>>;
};

const inserts = new WeakMap<LedgerDatabase, Inserts>();

function insertsOf(database: LedgerDatabase): Inserts {
  let known = inserts.get(database);
  if (!known) {
    const requests = (update: readonly (keyof RequestRow)[]) =>
      createInsert(database, { table: 'millrace_requests', key: ['id'], update });
    known = {
      attempts: createInsert(database, {
        table: 'millrace_attempts',
        key: ['request_id', 'attempt'],
        update: attemptNames,
      }),
      whole: requests([...endNames, ...factNames]),
      ends: requests(endNames),
      facts: requests(factNames),
    };
    inserts.set(database, known);
  }
  return known;
}

/** A statement must not change one row twice (PostgreSQL). */
const uniqueAttempts = (all: readonly AttemptRow[]): AttemptRow[] => [
  ...new Map(all.map((one) => [`${one.request_id} ${one.attempt}`, one])).values(),
];

/** Requests that ran and whose attempts are not known, of those that ended in this time; the oldest first. */
export async function incompleteRequests(
  database: LedgerDatabase,
  { from, to, limit }: { from: number; to: number; limit: number },
): Promise<string[]> {
  const rows = await database
    .selectFrom('millrace_requests')
    .select('id')
    .where('incomplete', '=', 1)
    .where('ended_at', '>=', from)
    .where('ended_at', '<', to)
    .orderBy('ended_at')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

/** Removes requests that were created before `before` (milliseconds since the epoch). Returns how many, at most `limit`. */
export async function removeBefore(
  database: LedgerDatabase,
  before: number,
  limit: number,
): Promise<number> {
  return database.transaction().execute(async (transaction) => {
    const old = await transaction
      .selectFrom('millrace_requests')
      .select('id')
      .where('created_at', '<', before)
      .limit(limit)
      .execute();
    if (old.length === 0) return 0;
    const ids = old.map(({ id }) => id);
    await transaction.deleteFrom('millrace_attempts').where('request_id', 'in', ids).execute();
    await transaction.deleteFrom('millrace_requests').where('id', 'in', ids).execute();
    return ids.length;
  });
}
