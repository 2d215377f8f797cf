import { behind } from '../database/paging.ts';
import type { Cursor, Page } from '../database/paging.ts';
import type { LedgerDatabase } from '../database/open.ts';
import type { AuditRow } from '../database/schema.ts';

/* What the admin API asks the audit log. Values reach the database as parameters only. */

/** Times are milliseconds since the epoch; `from` is included, `to` is not. */
export type AuditFilter = {
  from?: number | undefined;
  to?: number | undefined;
  actor?: string | undefined;
  action?: string | undefined;
  target?: string | undefined;
};

/** Entries behind the cursor, newest first. */
export async function auditPage(
  database: LedgerDatabase,
  { from, to, actor, action, target }: AuditFilter,
  { after, limit }: { after?: Cursor | undefined; limit: number },
): Promise<Page<AuditRow>> {
  let query = database.selectFrom('millrace_audit').selectAll();
  if (from !== undefined) query = query.where('at', '>=', from);
  if (to !== undefined) query = query.where('at', '<', to);
  if (actor !== undefined) query = query.where('actor', '=', actor);
  if (action !== undefined) query = query.where('action', '=', action);
  if (target !== undefined) query = query.where('target', '=', target);
  if (after) query = query.where(behind('at', after));
  const rows = await query.orderBy('at', 'desc').orderBy('id', 'desc').limit(limit).execute();
  return { rows };
}
