/** `GET /admin/queue`. */
export type QueueAnswer = {
  paused_shards: number[];
  waiting: number;
  oldest_ms: number | null;
  by_class: Record<'high' | 'normal' | 'low', number>;
  by_key: { key: string | null; waiting: number; running: number; oldest_ms: number | null }[];
  /** Jain's index over the keys; null: fewer than two. */
  fairness: number | null;
  data: Waiting[];
  truncated: boolean;
};

export type Waiting = {
  id: string;
  key: string | null;
  class: string;
  model: string;
  api: string;
  /** Requests before it. */
  position: number;
  waiting_ms: number;
  deadline_at: string | null;
  /** Why it waits now, in one sentence. */
  reason: string;
};
