/*
 * The tables of the ledger. Times are milliseconds since the epoch, money is in billionths of a USD (whole numbers, so that
 * sums are exact), token counts are those that the providers bill. The names have a prefix, because the database may be an
 * application's own.
 */

export type Database = {
  millrace_requests: RequestRow;
  millrace_attempts: AttemptRow;
  millrace_audit: AuditRow;
};

/** 0 or 1: SQLite has no boolean. */
type Flag = number;
/** PostgreSQL returns `bigint` as text unless told otherwise (open.ts). */
type Whole = number;

export type RequestRow = {
  id: string;
  created_at: Whole;
  ended_at: Whole;
  /** Milliseconds since the epoch of the hour and of the day (UTC) in which it was created. */
  hour: Whole;
  day: Whole;
  key_id: string | null;
  user_id: string | null;
  /** The alias that was asked for. */
  model: string;
  /** The path of its API. */
  api: string;
  stream: Flag;
  status: string;
  finish_reason: string | null;
  error_code: string | null;
  error_message: string | null;
  /** The target whose answer it was, or the last one that was asked. */
  provider: string | null;
  target_model: string | null;
  attempts: number;
  rescues: number;
  max_gap_ms: number | null;
  queue_ms: number | null;
  first_token_ms: number | null;
  duration_ms: number;
  input_tokens: Whole;
  cached_tokens: Whole;
  output_tokens: Whole;
  reasoning_tokens: Whole;
  /** A part of the tokens was counted from the text, because a provider reported none. */
  estimated: Flag;
  /** 1: the request ran, and its attempts are not known yet (completion.ts). Its cost is unknown until then. */
  incomplete: Flag;
  /** Null: the price of an attempt that used tokens is unknown, or its tokens. */
  cost: number | null;
  session: string | null;
  prompt_hash: string | null;
  /** JSON. */
  metadata: string | null;
};

export type AttemptRow = {
  request_id: string;
  attempt: number;
  run: number;
  provider: string;
  model: string;
  /** How it went on from what had been delivered (domain/entry.ts, AttemptMode). */
  mode: string;
  started_at: Whole;
  first_token_at: Whole | null;
  ended_at: Whole | null;
  outcome: string;
  /** The provider's own words. */
  detail: string | null;
  input_tokens: Whole;
  cached_tokens: Whole;
  output_tokens: Whole;
  reasoning_tokens: Whole;
  estimated: Flag;
  /** The provider's usage object, as JSON. */
  usage: string | null;
  cost: number | null;
};

/** An audit entry (domain/audit.ts). */
export type AuditRow = {
  id: string;
  at: Whole;
  actor: string;
  address: string | null;
  action: string;
  target: string | null;
  outcome: string;
  /** JSON. */
  detail: string | null;
};
