import { nanosPerUsd } from '@millrace/shared/domain/budget';
import type { AttemptRow, RequestRow } from '../database/schema.ts';
import type { Grouping, UsageRow } from '../ledger/queries.ts';

/* Rows as the admin API shows them. Times are RFC 3339, money is in USD with 6 decimals. */

/** Null: unknown. */
export const usd = (cost: number | null): number | null =>
  cost === null ? null : Number((cost / nanosPerUsd).toFixed(6));

/** RFC 3339. */
export const time = (ms: number): string => new Date(ms).toISOString();
export const timeOrNull = (ms: number | null): string | null => (ms === null ? null : time(ms));

export function usageView(row: UsageRow, groups: readonly Grouping[]) {
  const values: Record<Grouping, unknown> = {
    key: row.key_id ?? null,
    user: row.user_id ?? null,
    model: row.model ?? null,
    provider: row.provider ?? null,
    status: row.status ?? null,
    hour: typeof row.hour === 'number' ? time(row.hour) : null,
    day: typeof row.day === 'number' ? time(row.day).slice(0, 10) : null,
  };
  return {
    ...Object.fromEntries(groups.map((group) => [group, values[group]])),
    requests: row.requests,
    failed: row.failed,
    rescued: row.rescued,
    input_tokens: row.input_tokens,
    cached_tokens: row.cached_tokens,
    output_tokens: row.output_tokens,
    cost: usd(row.cost),
    unpriced: row.unpriced,
    estimated: row.estimated,
  };
}

export const usageColumns = (groups: readonly Grouping[]): string[] => [
  ...groups,
  'requests',
  'failed',
  'rescued',
  'input_tokens',
  'cached_tokens',
  'output_tokens',
  'cost',
  'unpriced',
  'estimated',
];

export function requestView(row: RequestRow, attempts: readonly AttemptRow[]) {
  return {
    id: row.id,
    created_at: time(row.created_at),
    ended_at: time(row.ended_at),
    key: row.key_id,
    user: row.user_id,
    model: row.model,
    api: row.api,
    stream: row.stream === 1,
    status: row.status,
    finish_reason: row.finish_reason,
    error: row.error_message === null ? null : { code: row.error_code, message: row.error_message },
    provider: row.provider,
    target_model: row.target_model,
    queue_ms: row.queue_ms,
    first_token_ms: row.first_token_ms,
    duration_ms: row.duration_ms,
    rescues: row.rescues,
    max_gap_ms: row.max_gap_ms,
    usage: tokens(row),
    cost: usd(row.cost),
    session: row.session,
    prompt_hash: row.prompt_hash,
    metadata: row.metadata === null ? null : (JSON.parse(row.metadata) as unknown),
    attempts: attempts.map(attemptView),
  };
}

function attemptView(row: AttemptRow) {
  return {
    attempt: row.attempt,
    run: row.run,
    provider: row.provider,
    model: row.model,
    mode: row.mode,
    started_at: time(row.started_at),
    first_token_at: timeOrNull(row.first_token_at),
    ended_at: timeOrNull(row.ended_at),
    outcome: row.outcome,
    detail: row.detail,
    usage: tokens(row),
    cost: usd(row.cost),
  };
}

const tokens = (row: RequestRow | AttemptRow) => ({
  input_tokens: row.input_tokens,
  cached_tokens: row.cached_tokens,
  output_tokens: row.output_tokens,
  reasoning_tokens: row.reasoning_tokens,
  estimated: row.estimated === 1,
});

/** A request in one line of CSV: without its attempts. */
export function requestLine(row: RequestRow) {
  const { error, usage, ...view } = requestView(row, []);
  return {
    ...view,
    attempts: row.attempts,
    error_code: error?.code ?? null,
    error_message: error?.message ?? null,
    ...usage,
  };
}

export const requestColumns = [
  'id',
  'created_at',
  'ended_at',
  'key',
  'user',
  'model',
  'api',
  'stream',
  'status',
  'finish_reason',
  'error_code',
  'error_message',
  'provider',
  'target_model',
  'attempts',
  'rescues',
  'max_gap_ms',
  'queue_ms',
  'first_token_ms',
  'duration_ms',
  'input_tokens',
  'cached_tokens',
  'output_tokens',
  'reasoning_tokens',
  'estimated',
  'cost',
  'session',
  'prompt_hash',
  'metadata',
];

/** What happened to a request, in its order. */
export function eventsOf(row: RequestRow, attempts: readonly AttemptRow[]) {
  const events: { ms: number; event: string; attempt?: number; detail?: string }[] = [
    { ms: row.created_at, event: 'created' },
  ];
  for (const one of attempts) {
    const { attempt, provider, model, mode, outcome, detail } = one;
    const target = `${provider}/${model}`;
    events.push({ ms: one.started_at, event: 'attempt', attempt, detail: `${mode} at ${target}` });
    if (one.first_token_at !== null) {
      events.push({ ms: one.first_token_at, event: 'first_token', attempt });
    }
    if (one.ended_at !== null) {
      const why = detail === null ? outcome : `${outcome}: ${detail}`;
      events.push({ ms: one.ended_at, event: 'attempt_end', attempt, detail: why });
    }
  }
  events.sort((one, other) => one.ms - other.ms);
  events.push({
    ms: row.ended_at,
    event: row.status,
    ...(row.error_message !== null && { detail: row.error_message }),
  });
  return events.map(({ ms, ...event }) => ({ at: time(ms), ...event }));
}
