import type { Prices } from '@millrace/shared/cost/prices';
import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { eventsOf, requestView } from '../api/views.ts';
import {
  attemptRows,
  endColumns,
  factColumns,
  provisionalEnd,
  requestRow,
} from '../ledger/rows.ts';
import type { LogSummary } from './request-log.ts';

/** A request that the ledger does not have, in the form of one that it has: what is not known yet is null. */
export function openRequestView(
  meta: RequestMeta,
  log: LogSummary,
  { prices, now }: { prices: Prices; now: number },
) {
  const { attempts, times, rescues, run, end } = log;
  const { firstAt: firstTextAt, maxGapMs } = times;
  const entry: LedgerEntry = {
    id: meta.id,
    meta,
    run,
    facts: { attempts, firstTextAt, rescues, maxGapMs },
  };
  const rows = attemptRows(meta.id, attempts, prices).map((row) =>
    row.ended_at === null && !end ? { ...row, outcome: 'running' } : row,
  );
  const ending = end ? endColumns(entry, end) : provisionalEnd(entry, rows);
  const row = requestRow(entry, ending, factColumns(entry, rows));
  const view = requestView(row, rows);
  const events = eventsOf(row, rows);
  if (end) return { ...view, events };
  return {
    ...view,
    ended_at: null,
    duration_ms: Math.max(0, now - meta.createdAt),
    status: run === 0 ? 'queued' : 'running',
    queue_ms: view.queue_ms ?? Math.max(0, now - meta.createdAt),
    worker: log.worker ?? null,
    // The last event is an end, which has not come.
    events: events.slice(0, -1),
  };
}
