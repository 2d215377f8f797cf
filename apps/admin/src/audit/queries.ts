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

/** A place in the list, newest first. */
export type AuditCursor = { at: number; id: string };

/** Entries behind the cursor, newest first. */
export function auditPage(
  database: LedgerDatabase,
  { from, to, actor, action, target }: AuditFilter,
  { after, limit }: { after?: AuditCursor | undefined; limit: number },
): Promise<AuditRow[]> {
  let query = database.selectFrom('millrace_audit').selectAll();
  if (from !== undefined) query = query.where('at', '>=', from);
  if (to !== undefined) query = query.where('at', '<', to);
  if (actor !== undefined) query = query.where('actor', '=', actor);
  if (action !== undefined) query = query.where('action', '=', action);
  if (target !== undefined) query = query.where('target', '=', target);
  if (after) {
    query = query.where((eb) =>
      eb.or([eb('at', '<', after.at), eb.and([eb('at', '=', after.at), eb('id', '<', after.id)])]),
    );
  }
  return query.orderBy('at', 'desc').orderBy('id', 'desc').limit(limit).execute();
}

/** All of them, a page at a time. */
export async function* allAudit(
  database: LedgerDatabase,
  filter: AuditFilter,
): AsyncGenerator<AuditRow> {
  let after: AuditCursor | undefined;
  for (;;) {
    const page = await auditPage(database, filter, { after, limit: pageRows });
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < pageRows) return;
    after = { at: last.at, id: last.id };
  }
}

const pageRows = 1000;
