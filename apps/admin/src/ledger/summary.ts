import { sql } from 'kysely';
import type { LedgerDatabase } from '../database/open.ts';
import type { Prices } from '@millrace/shared/cost/prices';
import { noTokens } from '@millrace/shared/cost/usage';
import { filtered } from './filter.ts';
import type { Filter } from './filter.ts';
import { knownCost } from './known-cost.ts';
import { histogram, percentile } from './percentiles.ts';

/* The figures of a time: how requests went, and what the rescues of answers saved. */

export type Percentiles = { p50: number; p95: number; p99: number };

export type Summary = {
  requests: number;
  completed: number;
  failed: number;
  cancelled: number;
  /** As in `UsageRow`: requests with a rescue, however they ended. */
  rescued: number;
  /** Streams with a rescue that reached their end. */
  rescuedStreams: number;
  /** The longest gap of each request whose answer another attempt continued: after a rescue or an operator's move. */
  gapMs: { p50: number; p99: number; max: number } | null;
  firstTokenMs: Percentiles | null;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
  /** The median of completed streams, from their first to their last text. */
  tokensPerSecond: number | null;
  /** Billionths of a USD of the requests whose price is known (`knownCost`). */
  cost: number | null;
  unpriced: number;
  saved: Savings;
};

export async function summary(
  database: LedgerDatabase,
  filter: Filter,
  prices: Prices,
): Promise<Summary> {
  const [sums, first, gaps, maxGap, speeds, saved] = await Promise.all([
    sumsOf(database, filter),
    histogram(database, filter, sql<number>`first_token_ms`, (query) =>
      query.where('first_token_ms', 'is not', null),
    ),
    histogram(database, filter, sql<number>`max_gap_ms`, (query) =>
      query.where('max_gap_ms', 'is not', null),
    ),
    maxGapOf(database, filter),
    speedsOf(database, filter),
    savings(database, filter, prices),
  ]);
  const speed = percentile(speeds, 0.5);
  return {
    ...sums,
    gapMs:
      maxGap === null
        ? null
        : { p50: percentile(gaps, 0.5) ?? 0, p99: percentile(gaps, 0.99) ?? 0, max: maxGap },
    firstTokenMs:
      first.length === 0
        ? null
        : {
            p50: percentile(first, 0.5) ?? 0,
            p95: percentile(first, 0.95) ?? 0,
            p99: percentile(first, 0.99) ?? 0,
          },
    tokensPerSecond: speed === null ? null : speed / 10,
    saved,
  };
}

async function sumsOf(database: LedgerDatabase, filter: Filter) {
  const row = await filtered(database.selectFrom('millrace_requests'), filter)
    .select(({ fn, eb }) => {
      const countIf = (condition: ReturnType<typeof eb>) =>
        fn.sum<number | null>(eb.case().when(condition).then(1).else(0).end());
      const isRescuedStream = eb.and([
        eb('rescues', '>', 0),
        eb('stream', '=', 1),
        eb('status', '=', 'completed'),
      ]);
      return [
        fn.countAll<number>().as('requests'),
        countIf(eb('status', '=', 'completed')).as('completed'),
        countIf(eb('status', '=', 'failed')).as('failed'),
        countIf(eb('status', '=', 'cancelled')).as('cancelled'),
        countIf(eb('rescues', '>', 0)).as('rescued'),
        fn
          .sum<number | null>(eb.case().when(isRescuedStream).then(1).else(0).end())
          .as('rescuedStreams'),
        fn.sum<number | null>('input_tokens').as('inputTokens'),
        fn.sum<number | null>('cached_tokens').as('cachedTokens'),
        fn.sum<number | null>('output_tokens').as('outputTokens'),
        fn.sum<number | null>('cost').as('cost'),
        countIf(eb('cost', 'is', null)).as('unpriced'),
      ];
    })
    .executeTakeFirstOrThrow();
  // A sum over no rows is null.
  return {
    requests: row.requests,
    completed: row.completed ?? 0,
    failed: row.failed ?? 0,
    cancelled: row.cancelled ?? 0,
    rescued: row.rescued ?? 0,
    rescuedStreams: row.rescuedStreams ?? 0,
    inputTokens: row.inputTokens ?? 0,
    cachedTokens: row.cachedTokens ?? 0,
    outputTokens: row.outputTokens ?? 0,
    cost: row.requests === 0 ? 0 : knownCost(row.cost, row.unpriced ?? 0),
    unpriced: row.unpriced ?? 0,
  };
}

async function maxGapOf(database: LedgerDatabase, filter: Filter): Promise<number | null> {
  const row = await filtered(database.selectFrom('millrace_requests'), filter)
    .where('max_gap_ms', 'is not', null)
    .select(({ fn }) => fn.max<number | null>('max_gap_ms').as('gap'))
    .executeTakeFirstOrThrow();
  return row.gap;
}

/** Tenths of a token per second. */
const speedsOf = (database: LedgerDatabase, filter: Filter) =>
  histogram(
    database,
    filter,
    sql<number>`output_tokens * 10000 / (duration_ms - first_token_ms)`,
    (query) =>
      query
        .where('stream', '=', 1)
        .where('status', '=', 'completed')
        .where('output_tokens', '>', 1)
        .whereRef('duration_ms', '>', 'first_token_ms'),
  );

export type Savings = {
  tokens: number;
  /** Billionths of a USD; null if the price of a part of the tokens is unknown. */
  cost: number | null;
};

/**
 * What continuing saved, compared with asking again. A token counts if
 * - it was output (without reasoning) of an attempt that broke off: it neither completed the answer nor lost a race,
 * - a later attempt continued its text as a prefill (`continue`), and got a first token, and
 * - no later attempt began the answer again or repeated it (`start`, `restart`, `replay`), which had it generated again.
 * Each token counts once, however often the answer was continued behind it; those in front of an anchor do not count. Its worth is
 * what it costs as output of the target that continued, less what it cost there as input.
 */
export async function savings(
  database: LedgerDatabase,
  filter: Filter,
  prices: Prices,
): Promise<Savings> {
  const rescued = filtered(database.selectFrom('millrace_requests'), filter)
    .where('rescues', '>', 0)
    .select('id');
  const kept = await database
    .selectFrom(rescued.as('rescued'))
    .innerJoin('millrace_attempts as broken', 'broken.request_id', 'rescued.id')
    .innerJoin('millrace_attempts as next', (join) =>
      join
        .onRef('next.request_id', '=', 'broken.request_id')
        .onRef('next.attempt', '>', 'broken.attempt'),
    )
    .where('broken.outcome', 'not in', ['completed', 'superseded', 'moved'])
    .where('next.mode', '=', 'continue')
    .where('next.outcome', '<>', 'superseded')
    .where('next.first_token_at', 'is not', null)
    // `next` is the first attempt behind it that showed something, and none behind it had the text generated again.
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('millrace_attempts as other')
            .select('other.attempt')
            .whereRef('other.request_id', '=', 'broken.request_id')
            .whereRef('other.attempt', '>', 'broken.attempt')
            .where('other.outcome', '<>', 'superseded')
            .where('other.first_token_at', 'is not', null)
            .where((eb) =>
              eb.or([
                eb('other.attempt', '<', eb.ref('next.attempt')),
                eb('other.mode', 'in', ['start', 'restart', 'replay']),
              ]),
            ),
        ),
      ),
    )
    .select(['next.provider', 'next.model'])
    .select(({ fn }) => [
      fn.sum<number>('broken.output_tokens').as('output'),
      fn.sum<number>('broken.reasoning_tokens').as('reasoning'),
    ])
    .groupBy(['next.provider', 'next.model'])
    .execute();
  let tokens = 0;
  let cost: number | null = 0;
  for (const { provider, model, output, reasoning } of kept) {
    const count = Math.max(0, output - reasoning);
    if (count === 0) continue;
    tokens += count;
    const worth = worthOfThousand(prices, { provider, model });
    cost = cost === null || worth === null ? null : cost + Math.round((worth * count) / 1000);
  }
  return { tokens, cost };
}

/** Of a thousand tokens, because a sum of many answers would reach the price of a long prompt. Null: unknown. */
function worthOfThousand(
  prices: Prices,
  target: { provider: string; model: string },
): number | null {
  const now = Date.now();
  const asOutput = prices(target, { ...noTokens, output: 1000 }, now);
  const asInput = prices(target, { ...noTokens, input: 1000 }, now);
  return asOutput === null || asInput === null ? null : asOutput - asInput;
}
