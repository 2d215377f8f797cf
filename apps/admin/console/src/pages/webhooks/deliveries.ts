import { duration, unknown } from '../../ui/format.ts';

/* Messages as the page shows them (docs/webhooks.md). Pure. */

export type Delivery = {
  id: string;
  event: string;
  /** The origin, and that there is more: `https://a.example/(not shown)`. */
  url: string;
  /** The request that it is about. */
  request: string | null;
  created_at: string;
  attempts: number;
  /** When it is tried next; null: now, or never. */
  next_at: string | null;
  state: 'waiting' | 'delivered' | 'dead';
  /** Of the last attempt. */
  last_error: string | null;
  /** Of the last answer. */
  status: number | null;
};

/** `GET /admin/webhooks`. */
export type Deliveries = {
  data: Delivery[];
  counts: { waiting: number; dead: number };
  truncated?: boolean;
};

/** What the last attempt came to. */
export function lastTry({ state, attempts, status, last_error: error }: Delivery): string {
  if (state === 'delivered') return status === null ? 'delivered' : `answered ${status}`;
  if (error !== null) return error;
  if (status !== null) return `answered ${status}`;
  return attempts === 0 ? 'none yet' : unknown;
}

/** How often a waiting message was tried, and when it is tried next. */
export function nextTry({ attempts, next_at: at }: Delivery, now = Date.now()): string {
  const ms = at === null ? 0 : Date.parse(at) - now;
  return `${attempts}, next ${ms > 0 ? `in ${duration(ms)}` : 'now'}`;
}

/** The host of a URL, for a row. The control plane shows none of its path, which may hold a token of the receiver. */
export const shownUrl = (url: string): string => URL.parse(url)?.host ?? url;
