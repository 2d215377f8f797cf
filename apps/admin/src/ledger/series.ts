import { sql } from 'kysely';
import type { LedgerDatabase } from '../database/open.ts';
import { filtered } from './filter.ts';
import type { Filter } from './filter.ts';
import { knownCost } from './known-cost.ts';

/* The figures of a time in equal steps, of all requests or by group. */

export const seriesGroups = ['status', 'model', 'key', 'provider'] as const;
export type SeriesGroup = (typeof seriesGroups)[number];

const columns = {
  status: 'status',
  model: 'model',
  key: 'key_id',
  provider: 'provider',
} as const satisfies Record<SeriesGroup, string>;

/** Groups with a series of their own; the requests of all others are one more. */
export const maxGroups = 8;
/** The name of all other groups together. */
export const otherGroup = 'other';

export type SeriesRow = {
  /** The number of the step, from 0. */
  bucket: number;
  /** Absent without a grouping; null: requests without a value. */
  group?: string | null;
  requests: number;
  failed: number;
  rescued: number;
  outputTokens: number;
  /** Billionths of a USD of the requests whose price is known (`knownCost`). */
  cost: number | null;
  /** Requests whose price is unknown. */
  unpriced: number;
  firstTokenMs: { p50: number; p95: number } | null;
};

export type SeriesOptions = {
  filter: Filter & { from: number; to: number };
  stepMs: number;
  by?: SeriesGroup | undefined;
};

/** Steps in which requests were created, in their order. */
export async function series(
  database: LedgerDatabase,
  { filter, stepMs, by }: SeriesOptions,
): Promise<SeriesRow[]> {
  const top = by && (await topGroups(database, filter, by));
  const grouped = filtered(database.selectFrom('millrace_requests'), filter)
    .select([
      // SQLite would divide by a number with a fraction otherwise.
      sql<number>`(created_at - cast(${filter.from} as bigint)) / cast(${stepMs} as bigint)`.as(
        'bucket',
      ),
      groupOf(by, top).as('name'),
      'status',
      'rescues',
      'output_tokens',
      'cost',
      'first_token_ms',
    ])
    .as('grouped');
  const sums = database
    .selectFrom(grouped)
    .select(({ fn, eb }) => [
      'bucket',
      'name',
      fn.countAll<number>().as('requests'),
      fn.sum<number>(eb.case().when('status', '=', 'failed').then(1).else(0).end()).as('failed'),
      fn.sum<number>(eb.case().when('rescues', '>', 0).then(1).else(0).end()).as('rescued'),
      fn.sum<number>('output_tokens').as('outputTokens'),
      fn.sum<number | null>('cost').as('cost'),
      fn.sum<number>(eb.case().when('cost', 'is', null).then(1).else(0).end()).as('unpriced'),
    ])
    .groupBy(['bucket', 'name'])
    .orderBy('bucket')
    .orderBy('name')
    .execute();
  const ranked = database
    .selectFrom(grouped)
    .where('first_token_ms', 'is not', null)
    .select(({ fn }) => [
      'bucket',
      'name',
      'first_token_ms as value',
      fn
        .agg<number>('row_number')
        .over((over) => over.partitionBy(['bucket', 'name']).orderBy('first_token_ms'))
        .as('place'),
      fn
        .countAll<number>()
        .over((over) => over.partitionBy(['bucket', 'name']))
        .as('all'),
    ])
    .as('ranked');
  // The nearest ranks of the median and of the 95th percentile: two rows for each step and group.
  const percentiles = database
    .selectFrom(ranked)
    .select(['bucket', 'name', 'value', 'place', 'all'])
    .where(
      sql<boolean>`(place = (${sql.ref('all')} + 1) / 2 or place = (${sql.ref('all')} * 95 + 99) / 100)`,
    )
    .execute();
  const [rows, points] = await Promise.all([sums, percentiles]);
  const firstTokens = new Map<string, { p50: number; p95: number }>();
  for (const { bucket, name, value, place, all } of points) {
    const key = `${bucket} ${name}`;
    const known = firstTokens.get(key) ?? { p50: 0, p95: 0 };
    if (place === Math.floor((all + 1) / 2)) known.p50 = value ?? 0;
    if (place === Math.floor((all * 95 + 99) / 100)) known.p95 = value ?? 0;
    firstTokens.set(key, known);
  }
  return rows.map(({ bucket, name, ...row }) => ({
    bucket,
    ...(by && { group: name === noValue ? null : name }),
    ...row,
    cost: knownCost(row.cost, row.unpriced),
    firstTokenMs: firstTokens.get(`${bucket} ${name}`) ?? null,
  }));
}

/** Stands for requests without a value: no key, model or provider has this name. */
const noValue = '';

/** The groups with the most requests. One that is named as the others together are is a part of them. */
async function topGroups(
  database: LedgerDatabase,
  filter: Filter,
  by: SeriesGroup,
): Promise<string[]> {
  const rows = await filtered(database.selectFrom('millrace_requests'), filter)
    .select(sql<string>`coalesce(${sql.ref(columns[by])}, ${noValue})`.as('name'))
    .select(({ fn }) => fn.countAll<number>().as('requests'))
    .groupBy('name')
    .orderBy('requests', 'desc')
    .orderBy('name')
    .limit(maxGroups + 1)
    .execute();
  return rows
    .map(({ name }) => name)
    .filter((name) => name !== otherGroup)
    .slice(0, maxGroups);
}

function groupOf(by: SeriesGroup | undefined, top: readonly string[] | undefined) {
  if (by === undefined) return sql<string>`cast(${noValue} as text)`;
  if (top === undefined || top.length === 0) return sql<string>`cast(${otherGroup} as text)`;
  const name = sql`coalesce(${sql.ref(columns[by])}, ${noValue})`;
  const values = sql.join(top);
  return sql<string>`case when ${name} in (${values}) then ${name} else ${otherGroup} end`;
}
