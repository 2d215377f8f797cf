import type { LiveRequest, RequestStatus, RequestView } from '../../api/types.ts';
import { matchesOpen } from './filter.ts';
import type { Filter } from './filter.ts';

/** A request in the list, whether it has ended or not. */
export type Row = {
  id: string;
  /** RFC 3339. */
  createdAt: string;
  model: string;
  key: string | null;
  /** `ending`: it runs no more, and the ledger does not have it yet. */
  status: RequestStatus | 'ending';
  provider: string | null;
  targetModel: string | null;
  firstTokenMs: number | null;
  durationMs: number | null;
  outputTokens: number;
  cost: number | null;
  rescues: number;
  maxGapMs: number | null;
  error: { code: string; message: string } | null;
};

/** Of a request that has ended. */
export const endedRow = (view: RequestView): Row => ({
  id: view.id,
  createdAt: view.created_at,
  model: view.model,
  key: view.key,
  status: view.status,
  provider: view.provider,
  targetModel: view.target_model,
  firstTokenMs: view.first_token_ms,
  durationMs: view.duration_ms,
  outputTokens: view.usage.output_tokens,
  cost: view.cost,
  rescues: view.rescues,
  maxGapMs: view.max_gap_ms,
  error: view.error,
});

/** Of one that runs or waits. `at`: when it was looked at, in milliseconds since the epoch. */
export function openRow(live: LiveRequest, at: number): Row {
  const created = Date.parse(live.created_at);
  return {
    id: live.id,
    createdAt: live.created_at,
    model: live.model ?? '–',
    key: live.key,
    status: live.state,
    provider: live.provider,
    targetModel: live.target_model,
    firstTokenMs:
      live.first_text_at === null ? null : Math.max(0, Date.parse(live.first_text_at) - created),
    durationMs: Math.max(0, at - created),
    outputTokens: live.output_tokens,
    cost: null,
    rescues: live.rescues,
    maxGapMs: null,
    error: null,
  };
}

/**
 * One list: what runs or waits, then what has ended, each newest first. A request that is in both has ended. `ending` are
 * those that were seen to run and are in neither list yet.
 */
export function mergeRows(parts: {
  live: { at: string; running: readonly LiveRequest[] } | undefined;
  ended: readonly RequestView[];
  ending: readonly Row[];
  filter: Filter;
}): Row[] {
  const { live, ended, ending, filter } = parts;
  const known = new Set(ended.map(({ id }) => id));
  const at = live ? Date.parse(live.at) : 0;
  const open = (live?.running ?? [])
    .filter((one) => !known.has(one.id) && matchesOpen(filter, one))
    .map((one) => openRow(one, at));
  for (const { id } of open) known.add(id);
  return [...open, ...ending.filter(({ id }) => !known.has(id)), ...ended.map(endedRow)];
}

/** Milliseconds for which a request that runs no more is listed without being in the ledger. */
export const endingMs = 6000;

/**
 * Which requests of the look before are neither running now nor in the ledger; `since` is when each was missed first.
 * `present` is undefined where the page does not ask for what runs, as on the second page: nothing is missed then.
 */
export function endingAfter(
  before: ReadonlyMap<string, { row: Row; since: number }>,
  last: readonly Row[],
  present: ReadonlySet<string> | undefined,
  now: number,
): Map<string, { row: Row; since: number }> {
  const next = new Map<string, { row: Row; since: number }>();
  if (!present) return next;
  for (const [id, one] of before) {
    if (!present.has(id) && now - one.since < endingMs) next.set(id, one);
  }
  for (const row of last) {
    const isOpen = row.status === 'running' || row.status === 'queued';
    if (isOpen && !present.has(row.id) && !next.has(row.id)) {
      next.set(row.id, { row: { ...row, status: 'ending' }, since: now });
    }
  }
  return next;
}
