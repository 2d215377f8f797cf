import { monthOf, periodsOf } from '@millrace/shared/domain/budget';
import type { Spent } from '@millrace/shared/store/budgets/port';
import type { LedgerDatabase } from '../database/open.ts';

/* What the budgets read from the ledger. */

/**
 * Milliseconds after the end of a period for which it still counts: the clock of an ingress may be late, and a request belongs to
 * the period of its ingress' clock.
 */
const graceMs = 3_600_000;

/** The beginning of the first month that counts at this time. All times are milliseconds since the epoch. */
export const firstCounted = (now: number): number =>
  Date.parse(`${periodsOf(now - graceMs).month}-01`);

/** What the ledger has of a key in the day and the month of `now` (milliseconds since the epoch), and in a later one. */
export async function spentBy(
  database: LedgerDatabase,
  keyId: string,
  now: number,
): Promise<Spent[]> {
  const first = periodsOf(now - graceMs);
  const rows = await database
    .selectFrom('millrace_requests')
    .select(({ fn, eb }) => [
      'day',
      fn.sum<number | null>('cost').as('cost'),
      fn.sum<number>(eb('input_tokens', '+', eb.ref('output_tokens'))).as('tokens'),
      fn.sum<number>(eb.case().when('cost', 'is', null).then(1).else(0).end()).as('unpriced'),
    ])
    .where('key_id', '=', keyId)
    .where('day', '>=', firstCounted(now))
    .groupBy('day')
    .execute();
  const sums = new Map<string, { cost: number; tokens: number; unpriced: number }>();
  const add = (period: string, { cost, tokens, unpriced }: (typeof rows)[number]): void => {
    const sum = sums.get(period) ?? { cost: 0, tokens: 0, unpriced: 0 };
    sum.cost += cost ?? 0;
    sum.tokens += tokens;
    sum.unpriced += unpriced;
    sums.set(period, sum);
  };
  for (const row of rows) {
    const { day } = periodsOf(row.day);
    if (day >= first.day) add(day, row);
    add(monthOf(day), row);
  }
  return [...sums].map(([period, sum]) => ({ period, ...sum }));
}

/** Values of one statement. */
const idsPerQuery = 500;

/** Which of these requests the ledger has, and of which of them it does not know the attempts yet. */
export async function storedOf(
  database: LedgerDatabase,
  ids: readonly string[],
): Promise<Map<string, { incomplete: boolean }>> {
  const stored = new Map<string, { incomplete: boolean }>();
  for (let i = 0; i < ids.length; i += idsPerQuery) {
    const rows = await database
      .selectFrom('millrace_requests')
      .select(['id', 'incomplete'])
      .where('id', 'in', ids.slice(i, i + idsPerQuery))
      .execute();
    for (const { id, incomplete } of rows) stored.set(id, { incomplete: incomplete === 1 });
  }
  return stored;
}
