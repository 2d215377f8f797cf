import type { FastifyInstance } from 'fastify';
import { allAudit, auditPage } from '../audit/queries.ts';
import type { AuditCursor, AuditFilter } from '../audit/queries.ts';
import type { AuditRow } from '../database/schema.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { readCursor, rejectPaging, writeCursor } from './cursor.ts';
import { knownOnly, readCount, readText, readTime } from './parameters.ts';
import type { Query } from './parameters.ts';
import { readFormat, sendRows } from './rendering.ts';

const filterNames = ['from', 'to', 'actor', 'action', 'target', 'format'];

/** `GET /admin/audit`. */
export function auditRoutes(
  app: FastifyInstance,
  { database, ready }: Pick<Ledger, 'database' | 'ready'>,
): void {
  app.get<{ Querystring: Query }>('/admin/audit', async ({ query }, reply) => {
    const format = readFormat(query);
    knownOnly(query, [...filterNames, 'cursor', 'limit']);
    const limit = readCount(query, 'limit', { fallback: 100, most: 1000 });
    const filter = readFilter(query);
    const after = readPlace(query);
    await ready();
    if (format !== 'json') {
      rejectPaging(query);
      return sendRows(reply, format, {
        rows: views(allAudit(database, filter)),
        columns: auditColumns,
        name: 'audit',
      });
    }
    const page = await auditPage(database, filter, { after, limit: limit + 1 });
    const rows = page.slice(0, limit);
    const last = rows.at(-1);
    const next = last && page.length > limit ? writeCursor(last.at, last.id) : null;
    return { data: rows.map(auditView), next };
  });
}

function readFilter(query: Query): AuditFilter {
  return {
    from: readTime(query, 'from'),
    to: readTime(query, 'to'),
    actor: readText(query, 'actor'),
    action: readText(query, 'action'),
    target: readText(query, 'target'),
  };
}

function readPlace(query: Query): AuditCursor | undefined {
  const cursor = readCursor(query);
  return cursor && { at: cursor.time, id: cursor.id };
}

const auditColumns = [
  'at',
  'actor',
  'address',
  'action',
  'target',
  'outcome',
  'detail',
  'id',
] as const satisfies (keyof AuditRow)[];

const auditView = ({ at, actor, address, action, target, outcome, detail, id }: AuditRow) => ({
  at: new Date(at).toISOString(),
  actor,
  address,
  action,
  target,
  outcome,
  detail: detail === null ? null : (JSON.parse(detail) as unknown),
  id,
});

async function* views(rows: ReturnType<typeof allAudit>) {
  for await (const row of rows) yield auditView(row);
}
