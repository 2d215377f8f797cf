import { parseDuration } from '@millrace/shared/config/units';
import type { Prices } from '@millrace/shared/cost/prices';
import type { FastifyInstance } from 'fastify';
import type { Ledger } from '../ledger/ledger.ts';
import { series, seriesGroups } from '../ledger/series.ts';
import type { SeriesRow } from '../ledger/series.ts';
import { summary } from '../ledger/summary.ts';
import type { Summary } from '../ledger/summary.ts';
import { badParameter } from './admin-error.ts';
import { knownOnly, readText, readWord } from './parameters.ts';
import type { Query } from './parameters.ts';
import { filterNames, readFilter } from './request-filter.ts';
import { usd } from './views.ts';

type FigureSource = Pick<Ledger, 'database' | 'ready'> & { prices: Prices };

/** `GET /admin/summary` and `GET /admin/series`. */
export function figureRoutes(
  app: FastifyInstance,
  { database, ready, prices }: FigureSource,
): void {
  app.get<{ Querystring: Query }>('/admin/summary', async ({ query }) => {
    knownOnly(query, filterNames);
    const filter = readTimeFilter(query);
    await ready();
    const figures = await summary(database, filter, prices);
    return { from_at: time(filter.from), to_at: time(filter.to), ...summaryView(figures) };
  });

  app.get<{ Querystring: Query }>('/admin/series', async ({ query }) => {
    knownOnly(query, [...filterNames, 'step', 'by']);
    const asked = readTimeFilter(query);
    const stepMs = readStep(query, asked.to - asked.from);
    // Steps are those of the clock (UTC), so that two answers have the same ones.
    const filter = { ...asked, from: Math.floor(asked.from / stepMs) * stepMs };
    const by = readWord(query, 'by', seriesGroups);
    await ready();
    const rows = await series(database, { filter, stepMs, by });
    return {
      step_ms: stepMs,
      from_at: time(filter.from),
      to_at: time(filter.to),
      data: seriesViews(rows, filter, stepMs),
    };
  });
}

const time = (ms: number): string => new Date(ms).toISOString();

const defaultSpanMs = 24 * 3_600_000;

/** A filter with both ends of its time: the last 24 hours, unless it says otherwise. */
function readTimeFilter(query: Query) {
  const filter = readFilter(query);
  const to = filter.to ?? Date.now();
  const from = filter.from ?? Math.max(0, to - defaultSpanMs);
  if (from >= to) throw badParameter('from', 'expected a time before `to`');
  return { ...filter, from, to };
}

const maxSteps = 500;
/** Steps of an answer whose question names no step, at most. */
const usualSteps = 120;
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const usualStepsMs = [
  ...[1, 5, 10, 30].map((seconds) => seconds * 1000),
  ...[1, 5, 10, 15, 30].map((minutes) => minutes * minute),
  ...[1, 3, 6, 12].map((hours) => hours * hour),
  ...[1, 7, 30, 365].map((days) => days * day),
];

/** Milliseconds. */
function readStep(query: Query, spanMs: number): number {
  const text = readText(query, 'step');
  if (text === undefined) {
    const found = usualStepsMs.find((step) => spanMs / step <= usualSteps);
    return found ?? Math.ceil(spanMs / usualSteps / day) * day;
  }
  const step = parseDuration(text);
  if (step === undefined || step < 1000 || !Number.isSafeInteger(step)) {
    throw badParameter('step', 'expected a duration of at least a second, as 30s, 5m, 1h or 1d');
  }
  // The first step may begin before `from`.
  if (spanMs / step + 1 > maxSteps) {
    throw badParameter('step', `too short: the time has more than ${maxSteps} of them`);
  }
  return step;
}

/** Of all requests that were to be answered, the share that should be. */
const objective = 0.999;

function summaryView(figures: Summary) {
  const { completed, failed, saved } = figures;
  const answered = completed + failed;
  const allowed = rounded(answered * (1 - objective));
  return {
    requests: figures.requests,
    completed,
    failed,
    cancelled: figures.cancelled,
    rescued: figures.rescued,
    streams_rescued_mid_answer: figures.rescuedStreams,
    gap_ms: figures.gapMs,
    tokens_not_paid_twice: saved.tokens,
    saved_cost: usd(saved.cost),
    availability: answered === 0 ? null : completed / answered,
    // In requests.
    error_budget: { objective, allowed, used: failed, left: rounded(allowed - failed) },
    first_token_ms: figures.firstTokenMs,
    input_tokens: figures.inputTokens,
    cached_tokens: figures.cachedTokens,
    output_tokens: figures.outputTokens,
    tokens_per_s: figures.tokensPerSecond,
    cost: usd(figures.cost),
    unpriced: figures.unpriced,
  };
}

const rounded = (value: number): number => Number(value.toFixed(3));

/** Every step of the time, for each group that has requests in it. */
function seriesViews(
  rows: readonly SeriesRow[],
  { from, to }: { from: number; to: number },
  stepMs: number,
) {
  const groups = [...new Set(rows.map(({ group }) => group))];
  if (groups.length === 0) return [];
  const known = new Map(rows.map((row) => [`${row.bucket} ${row.group}`, row]));
  const steps = Math.ceil((to - from) / stepMs);
  return Array.from({ length: steps }, (_, bucket) =>
    groups.map((group) => {
      const row = known.get(`${bucket} ${group}`);
      return {
        at: time(from + bucket * stepMs),
        ...(group !== undefined && { group }),
        requests: row?.requests ?? 0,
        failed: row?.failed ?? 0,
        rescued: row?.rescued ?? 0,
        first_token_p50_ms: row?.firstTokenMs?.p50 ?? null,
        first_token_p95_ms: row?.firstTokenMs?.p95 ?? null,
        output_tokens: row?.outputTokens ?? 0,
        cost: row ? usd(row.cost) : 0,
        unpriced: row?.unpriced ?? 0,
      };
    }),
  ).flat();
}
