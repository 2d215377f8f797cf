/* Shapes of the API's answers that several pages use (docs/api.md). Times are RFC 3339. */

export type Usage = {
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  /** A part was counted from the text, because a provider reported none. */
  estimated: boolean;
};

export type Attempt = {
  attempt: number;
  run: number;
  provider: string;
  model: string;
  mode: string;
  started_at: string;
  first_token_at: string | null;
  ended_at: string | null;
  /** Null while it is under way. */
  outcome: string | null;
  /** The provider's own words. */
  detail: string | null;
  usage: Usage;
  cost: number | null;
};

export type RequestStatus = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export type RequestView = {
  id: string;
  created_at: string;
  ended_at: string | null;
  key: string | null;
  user: string | null;
  /** The alias that was asked for. */
  model: string;
  api: string;
  stream: boolean;
  status: RequestStatus;
  finish_reason: string | null;
  error: { code: string; message: string } | null;
  provider: string | null;
  target_model: string | null;
  queue_ms: number | null;
  first_token_ms: number | null;
  duration_ms: number | null;
  rescues: number;
  max_gap_ms: number | null;
  usage: Usage;
  cost: number | null;
  session: string | null;
  prompt_hash: string | null;
  metadata: Record<string, string> | null;
  attempts: Attempt[];
};

export type LiveRequest = {
  id: string;
  model: string;
  key: string | null;
  api: string;
  stream: boolean;
  created_at: string;
  state: 'queued' | 'running';
  queue_ms: number | null;
  worker: string | null;
  provider: string | null;
  target_model: string | null;
  mode: string | null;
  attempt: number;
  rescues: number;
  first_text_at: string | null;
  /** An estimate of what was delivered. */
  output_tokens: number;
  last_text_at: string | null;
};

export type Live = {
  at: string;
  totals: { queued: number; running: number; rescued_running: number };
  running: LiveRequest[];
  truncated: boolean;
};
