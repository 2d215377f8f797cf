import type { Terminal } from '@millrace/shared/domain/entry';
import type { LedgerAttempt, LedgerEntry } from '@millrace/shared/domain/ledger';
import type { Prices } from '../cost/prices.ts';
import { tokenCounts } from '../cost/usage.ts';
import type { AttemptRow, RequestRow } from '../database/schema.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** The row of each attempt of an entry. */
export function attemptRows(id: string, attempts: readonly LedgerAttempt[], prices: Prices) {
  return attempts.map((attempt) => attemptRow(id, attempt, prices));
}

function attemptRow(id: string, { started, ended }: LedgerAttempt, prices: Prices): AttemptRow {
  const { attempt, run, provider, model, mode, at } = started;
  const tokens = tokenCounts(ended?.usage);
  return {
    request_id: id,
    attempt,
    run,
    provider,
    model,
    mode,
    started_at: at,
    first_token_at: ended?.firstTokenAt ?? null,
    ended_at: ended?.at ?? null,
    outcome: ended?.outcome ?? 'unknown',
    detail: ended?.detail ?? null,
    input_tokens: tokens.input,
    cached_tokens: tokens.cached,
    output_tokens: tokens.output,
    reasoning_tokens: tokens.reasoning,
    estimated: ended?.estimated === undefined ? 0 : 1,
    usage: ended?.usage === undefined ? null : JSON.stringify(ended.usage),
    cost: prices({ provider, model }, tokens, at),
  };
}

/** What a request's row has of its attempts. */
export type Totals = Pick<
  RequestRow,
  | 'provider'
  | 'target_model'
  | 'attempts'
  | 'queue_ms'
  | 'first_token_ms'
  | 'input_tokens'
  | 'cached_tokens'
  | 'output_tokens'
  | 'reasoning_tokens'
  | 'estimated'
  | 'cost'
>;

export function totalsOf(createdAt: number, rows: readonly AttemptRow[]): Totals {
  const answer = rows.findLast(({ outcome }) => outcome === 'completed') ?? rows.at(-1);
  const firstTokens = rows.flatMap(({ first_token_at: at }) => at ?? []);
  const sum = (field: 'input_tokens' | 'cached_tokens' | 'output_tokens' | 'reasoning_tokens') =>
    rows.reduce((total, row) => total + row[field], 0);
  const [first] = rows;
  return {
    provider: answer?.provider ?? null,
    target_model: answer?.model ?? null,
    attempts: rows.length,
    queue_ms: first ? Math.max(0, first.started_at - createdAt) : null,
    first_token_ms: firstTokens.length > 0 ? Math.min(...firstTokens) - createdAt : null,
    input_tokens: sum('input_tokens'),
    cached_tokens: sum('cached_tokens'),
    output_tokens: sum('output_tokens'),
    reasoning_tokens: sum('reasoning_tokens'),
    estimated: rows.some(({ estimated }) => estimated === 1) ? 1 : 0,
    cost: rows.some(({ cost }) => cost === null)
      ? null
      : rows.reduce((total, { cost }) => total + (cost ?? 0), 0),
  };
}

/** The row of a request that has ended. */
export function requestRow(
  { id, meta, facts }: LedgerEntry,
  end: Terminal,
  totals: Totals,
): RequestRow {
  const { createdAt } = meta;
  const { at } = end.data;
  return {
    id,
    created_at: createdAt,
    ended_at: at,
    hour: Math.floor(createdAt / hourMs) * hourMs,
    day: Math.floor(createdAt / dayMs) * dayMs,
    key_id: meta.keyId ?? null,
    user_id: facts?.user ?? null,
    model: meta.model,
    api: meta.endpoint,
    stream: meta.stream ? 1 : 0,
    ...outcomeOf(end),
    rescues: facts?.rescues ?? 0,
    max_gap_ms: facts?.maxGapMs ?? null,
    duration_ms: Math.max(0, at - createdAt),
    prompt_hash: facts?.promptHash ?? null,
    metadata: meta.metadata === undefined ? null : JSON.stringify(meta.metadata),
    ...totals,
  };
}

function outcomeOf(
  end: Terminal,
): Pick<RequestRow, 'status' | 'finish_reason' | 'error_code' | 'error_message'> {
  const none = { finish_reason: null, error_code: null, error_message: null };
  switch (end.kind) {
    case 'done':
      return { ...none, status: 'completed', finish_reason: end.data.finishReason };
    case 'failed': {
      const { code, message } = end.data.error;
      return { ...none, status: 'failed', error_code: code, error_message: message };
    }
    default:
      return { ...none, status: 'cancelled', error_message: end.data.reason };
  }
}
