import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { Transaction } from 'kysely';
import type { Prices } from '../cost/prices.ts';
import type { LedgerDatabase } from '../database/open.ts';
import type { AttemptRow, Database, RequestRow } from '../database/schema.ts';
import { attemptRows, requestRow, totalsOf } from './rows.ts';

/** Rows of one statement: SQLite takes 32,766 values, and a request has 30. */
const maxRows = 500;

/**
 * Stores entries in one transaction: all of them or none. An entry that is stored again changes nothing, so it may be
 * delivered more than once, and entries of one request may come in any order.
 */
export async function storeEntries(
  database: LedgerDatabase,
  entries: readonly LedgerEntry[],
  prices: Prices,
): Promise<void> {
  if (entries.length === 0) return;
  await database.transaction().execute(async (transaction) => {
    const attempts = entries.map(
      ({ id, facts }) => facts && attemptRows(id, facts.attempts, prices),
    );
    await putAttempts(
      transaction,
      attempts.flatMap((rows) => rows ?? []),
    );
    const requests: RequestRow[] = [];
    for (const [i, entry] of entries.entries()) {
      if (!entry.end) continue;
      // Where an ingress ended it, its worker's entry may have come first.
      const rows = attempts[i] ?? (await readAttempts(transaction, entry.id));
      requests.push(requestRow(entry, entry.end, totalsOf(entry.meta.createdAt, rows)));
    }
    await putRequests(transaction, requests);
    for (const { id, meta, end, facts } of entries) {
      if (end || !facts) continue;
      const totals = totalsOf(meta.createdAt, await readAttempts(transaction, id));
      const { user, promptHash, rescues = 0, maxGapMs } = facts;
      await transaction
        .updateTable('requests')
        .set({
          ...totals,
          user_id: user ?? null,
          prompt_hash: promptHash ?? null,
          rescues,
          max_gap_ms: maxGapMs ?? null,
        })
        .where('id', '=', id)
        .execute();
    }
  });
}

const readAttempts = (transaction: Transaction<Database>, id: string): Promise<AttemptRow[]> =>
  transaction
    .selectFrom('attempts')
    .selectAll()
    .where('request_id', '=', id)
    .orderBy('attempt')
    .execute();

async function putAttempts(transaction: Transaction<Database>, all: AttemptRow[]): Promise<void> {
  // A statement must not change one row twice (PostgreSQL).
  const rows = unique(all, ({ request_id, attempt }) => `${request_id} ${attempt}`);
  for (let i = 0; i < rows.length; i += maxRows) {
    await transaction
      .insertInto('attempts')
      .values(rows.slice(i, i + maxRows))
      .onConflict((conflict) =>
        conflict.columns(['request_id', 'attempt']).doUpdateSet((eb) => ({
          first_token_at: eb.ref('excluded.first_token_at'),
          ended_at: eb.ref('excluded.ended_at'),
          outcome: eb.ref('excluded.outcome'),
          detail: eb.ref('excluded.detail'),
          input_tokens: eb.ref('excluded.input_tokens'),
          cached_tokens: eb.ref('excluded.cached_tokens'),
          output_tokens: eb.ref('excluded.output_tokens'),
          reasoning_tokens: eb.ref('excluded.reasoning_tokens'),
          estimated: eb.ref('excluded.estimated'),
          usage: eb.ref('excluded.usage'),
          cost: eb.ref('excluded.cost'),
        })),
      )
      .execute();
  }
}

async function putRequests(transaction: Transaction<Database>, all: RequestRow[]): Promise<void> {
  const rows = unique(all, ({ id }) => id);
  for (let i = 0; i < rows.length; i += maxRows) {
    await transaction
      .insertInto('requests')
      .values(rows.slice(i, i + maxRows))
      // A request ends once: the row that is there is the same.
      .onConflict((conflict) => conflict.column('id').doNothing())
      .execute();
  }
}

const unique = <T>(all: readonly T[], nameOf: (one: T) => string): T[] => [
  ...new Map(all.map((one) => [nameOf(one), one])).values(),
];

/** Removes requests that were created before `before` (milliseconds since the epoch). Returns how many, at most `limit`. */
export async function removeBefore(
  database: LedgerDatabase,
  before: number,
  limit: number,
): Promise<number> {
  return database.transaction().execute(async (transaction) => {
    const old = await transaction
      .selectFrom('requests')
      .select('id')
      .where('created_at', '<', before)
      .limit(limit)
      .execute();
    if (old.length === 0) return 0;
    const ids = old.map(({ id }) => id);
    await transaction.deleteFrom('attempts').where('request_id', 'in', ids).execute();
    await transaction.deleteFrom('requests').where('id', 'in', ids).execute();
    return ids.length;
  });
}
