import type { Terminal } from '@millrace/shared/domain/entry';
import type { LedgerAttempt, LedgerEntry, LedgerFacts } from '@millrace/shared/domain/ledger';
import type { Prices } from '@millrace/shared/cost/prices';
import { tokenCounts } from '@millrace/shared/cost/usage';
import { safeText } from '../database/safe-text.ts';
import type { AttemptRow, RequestRow } from '../database/schema.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Characters of texts that clients and providers choose. */
const maxTextChars = 4096;

const textOrNull = (text: string | null | undefined): string | null =>
  text === null || text === undefined ? null : safeText(text, maxTextChars);

/** JSON of at most so many characters; null if it is longer. JSON has no NUL character, but may have it escaped. */
function jsonText(value: unknown): string | null {
  if (value === undefined) return null;
  const text = JSON.stringify(value);
  return text.length > maxTextChars ? null : text;
}

/** The row of each attempt of an entry. */
export const attemptRows = (
  id: string,
  attempts: readonly LedgerAttempt[],
  prices: Prices,
): AttemptRow[] => attempts.map((attempt) => attemptRow(id, attempt, prices));

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
    detail: textOrNull(ended?.detail),
    input_tokens: tokens.input,
    cached_tokens: tokens.cached,
    output_tokens: tokens.output,
    reasoning_tokens: tokens.reasoning,
    estimated: ended?.estimated === undefined ? 0 : 1,
    usage: jsonText(ended?.usage),
    // Its worker died, and no other one counted what it had sent.
    cost: ended === undefined ? null : prices({ provider, model }, tokens, at),
  };
}

/** The columns of a request's row that its attempts determine. */
export type Totals = Pick<
  RequestRow,
  | 'provider'
  | 'target_model'
  | 'attempts'
  | 'queue_ms'
  | 'input_tokens'
  | 'cached_tokens'
  | 'output_tokens'
  | 'reasoning_tokens'
  | 'estimated'
  | 'incomplete'
  | 'cost'
>;

export function totalsOf(createdAt: number, rows: readonly AttemptRow[]): Totals {
  const answer = rows.findLast(({ outcome }) => outcome === 'completed') ?? rows.at(-1);
  const sum = (field: 'input_tokens' | 'cached_tokens' | 'output_tokens' | 'reasoning_tokens') =>
    rows.reduce((total, row) => total + row[field], 0);
  const [first] = rows;
  return {
    provider: answer?.provider ?? null,
    target_model: answer?.model ?? null,
    attempts: rows.length,
    queue_ms: first ? Math.max(0, first.started_at - createdAt) : null,
    input_tokens: sum('input_tokens'),
    cached_tokens: sum('cached_tokens'),
    output_tokens: sum('output_tokens'),
    reasoning_tokens: sum('reasoning_tokens'),
    estimated: rows.some(({ estimated }) => estimated === 1) ? 1 : 0,
    incomplete: 0,
    cost: rows.some(({ cost }) => cost === null)
      ? null
      : rows.reduce((total, { cost }) => total + (cost ?? 0), 0),
  };
}

/** A request that ended while it ran, and whose attempts are not known: it may have cost something. */
const unknownTotals = (createdAt: number): Totals => ({
  ...totalsOf(createdAt, []),
  incomplete: 1,
  cost: null,
});

/** The columns that the worker's facts determine, with those of the attempts. */
export type FactColumns = Totals &
  Pick<
    RequestRow,
    'user_id' | 'session' | 'prompt_hash' | 'rescues' | 'max_gap_ms' | 'first_token_ms'
  >;

export function factColumns(
  { meta, facts, run }: Pick<LedgerEntry, 'meta' | 'facts' | 'run'>,
  rows: readonly AttemptRow[],
): FactColumns {
  const { createdAt } = meta;
  const isUnknown = facts === undefined && run > 0;
  return {
    ...(isUnknown ? unknownTotals(createdAt) : totalsOf(createdAt, rows)),
    ...answerColumns(createdAt, facts),
  };
}

function answerColumns(createdAt: number, facts: LedgerFacts | undefined) {
  const { user, session, promptHash, rescues = 0, maxGapMs, firstTextAt } = facts ?? {};
  return {
    user_id: textOrNull(user),
    session: textOrNull(session),
    prompt_hash: promptHash ?? null,
    rescues,
    max_gap_ms: maxGapMs ?? null,
    first_token_ms: firstTextAt === undefined ? null : Math.max(0, firstTextAt - createdAt),
  };
}

/** The columns that the terminal line determines. */
export type EndColumns = Pick<
  RequestRow,
  'ended_at' | 'duration_ms' | 'status' | 'finish_reason' | 'error_code' | 'error_message'
>;

export function endColumns({ meta }: Pick<LedgerEntry, 'meta'>, end: Terminal): EndColumns {
  const { at } = end.data;
  const none = { finish_reason: null, error_code: null, error_message: null };
  const times = { ended_at: at, duration_ms: Math.max(0, at - meta.createdAt) };
  switch (end.kind) {
    case 'done':
      return { ...times, ...none, status: 'completed', finish_reason: end.data.finishReason };
    case 'failed': {
      const { code, message } = end.data.error;
      return {
        ...times,
        ...none,
        status: 'failed',
        error_code: code,
        error_message: textOrNull(message),
      };
    }
    default:
      return { ...times, ...none, status: 'cancelled', error_message: textOrNull(end.data.reason) };
  }
}

/** The end of a request whose facts came before its end: it was ended from outside, and the next entry says how. */
export const provisionalEnd = (
  { meta }: Pick<LedgerEntry, 'meta'>,
  rows: readonly AttemptRow[],
): EndColumns => ({
  ...endColumns(
    { meta },
    { kind: 'cancelled', data: { reason: '', at: rows.at(-1)?.ended_at ?? meta.createdAt } },
  ),
  error_message: null,
});

export function requestRow(
  { id, meta }: LedgerEntry,
  end: EndColumns,
  facts: FactColumns,
): RequestRow {
  const { createdAt } = meta;
  return {
    id,
    created_at: createdAt,
    hour: Math.floor(createdAt / hourMs) * hourMs,
    day: Math.floor(createdAt / dayMs) * dayMs,
    key_id: meta.keyId ?? null,
    model: textOrNull(meta.model) ?? '',
    api: meta.endpoint,
    stream: meta.stream ? 1 : 0,
    metadata: jsonText(meta.metadata),
    ...end,
    ...facts,
  };
}
