import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { Transaction } from 'kysely';
import type { Prices } from '@millrace/shared/cost/prices';
import type { LedgerDatabase } from '../database/open.ts';
import type { AttemptRow, Database, RequestRow } from '../database/schema.ts';
import { attemptRows, endColumns, factColumns, provisionalEnd, requestRow } from './rows.ts';
import type { EndColumns, FactColumns } from './rows.ts';

/** Rows of one statement: SQLite takes 32,766 values, and a request has 31. */
const maxRows = 500;

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
  const requestsOf = (matches: (entry: LedgerEntry) => boolean) =>
    known.filter(({ entry }) => matches(entry)).map(({ request }) => request);
  await database.transaction().execute(async (transaction) => {
    await putAttempts(
      transaction,
      known.flatMap(({ rows }) => rows),
    );
    await putRequests(
      transaction,
      requestsOf(({ end }) => end !== undefined),
      endNames,
    );
    await putRequests(
      transaction,
      requestsOf(({ facts }) => facts !== undefined),
      factNames,
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

async function putAttempts(transaction: Transaction<Database>, all: AttemptRow[]): Promise<void> {
  // A statement must not change one row twice (PostgreSQL).
  const rows = unique(all, ({ request_id, attempt }) => `${request_id} ${attempt}`);
  for (let i = 0; i < rows.length; i += maxRows) {
    await transaction
      .insertInto('millrace_attempts')
      .values(rows.slice(i, i + maxRows))
      .onConflict((conflict) =>
        conflict
          .columns(['request_id', 'attempt'])
          .doUpdateSet((eb) =>
            Object.fromEntries(attemptNames.map((name) => [name, eb.ref(`excluded.${name}`)])),
          ),
      )
      .execute();
  }
}

/** Inserts rows; of a row that is there already it sets these columns only. */
async function putRequests(
  transaction: Transaction<Database>,
  all: RequestRow[],
  names: readonly (keyof RequestRow)[],
): Promise<void> {
  const rows = unique(all, ({ id }) => id);
  for (let i = 0; i < rows.length; i += maxRows) {
    await transaction
      .insertInto('millrace_requests')
      .values(rows.slice(i, i + maxRows))
      .onConflict((conflict) =>
        conflict
          .column('id')
          .doUpdateSet((eb) =>
            Object.fromEntries(names.map((name) => [name, eb.ref(`excluded.${name}`)])),
          ),
      )
      .execute();
  }
}

const unique = <T>(all: readonly T[], nameOf: (one: T) => string): T[] => [
  ...new Map(all.map((one) => [nameOf(one), one])).values(),
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
