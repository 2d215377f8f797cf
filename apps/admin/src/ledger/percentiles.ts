import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { LedgerDatabase } from '../database/open.ts';
import { filtered } from './filter.ts';
import type { Filter, Requests } from './filter.ts';

/** How many requests have a value, by value, in rising order. */
export type Histogram = readonly { value: number; requests: number }[];

/**
 * Counts the values of a whole-number expression, to three digits: at most 900 rows for each power of ten, and one sort in the
 * database instead of one for each percentile.
 */
export function histogram(
  database: LedgerDatabase,
  filter: Filter,
  value: RawBuilder<number>,
  where: (query: Requests<object>) => Requests<object>,
): Promise<Histogram> {
  const values = where(filtered(database.selectFrom('millrace_requests'), filter))
    .select(value.as('exact'))
    .as('counted');
  return database
    .selectFrom(values)
    .select([threeDigits.as('value')])
    .select(({ fn }) => fn.countAll<number>().as('requests'))
    .groupBy('value')
    .orderBy('value')
    .execute();
}

/** Both databases divide whole numbers to whole numbers. */
const threeDigits = sql<number>`case when exact < 1000 then exact when exact < 10000 then exact / 10 * 10 when exact < 100000 then exact / 100 * 100 when exact < 1000000 then exact / 1000 * 1000 else exact / 10000 * 10000 end`;

/** The smallest value that at least this share of the requests do not exceed (the nearest rank); null without requests. */
export function percentile(values: Histogram, share: number): number | null {
  const all = values.reduce((sum, { requests }) => sum + requests, 0);
  const rank = Math.max(1, Math.ceil(all * share));
  let seen = 0;
  for (const { value, requests } of values) {
    seen += requests;
    if (seen >= rank) return value;
  }
  return null;
}
