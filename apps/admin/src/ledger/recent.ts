import type { LedgerDatabase } from '../database/open.ts';
import type { RecentRequests } from '../attention/fleet-state.ts';

const dayMs = 86_400_000;

/** How many requests that were made from this time on (milliseconds since the epoch) have ended, and how many of them failed. */
export async function recentRequests(
  database: LedgerDatabase,
  from: number,
): Promise<RecentRequests> {
  const rows = await database
    .selectFrom('millrace_requests')
    .select(({ fn }) => ['status', 'error_code', fn.countAll<number>().as('requests')])
    .where('created_at', '>=', from)
    .where('day', '>=', Math.floor(from / dayMs) * dayMs)
    .where('status', '!=', 'cancelled')
    .groupBy(['status', 'error_code'])
    .execute();
  const failed = rows
    .filter(({ status }) => status === 'failed')
    .sort((one, other) => other.requests - one.requests);
  const sum = (some: typeof rows) => some.reduce((total, row) => total + row.requests, 0);
  return {
    ended: sum(rows),
    failed: sum(failed),
    mostFrequent: failed[0]?.error_code ?? undefined,
  };
}
