import type { FastifyInstance } from 'fastify';
import { auditPage } from '../audit/queries.ts';
import type { AuditFilter } from '../audit/queries.ts';
import type { AuditRow } from '../database/schema.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { listNames, readList } from './list.ts';
import { knownOnly, readText, readTime } from './parameters.ts';
import type { Query } from './parameters.ts';

const filterNames = ['from', 'to', 'actor', 'action', 'target'];

/** `GET /admin/audit`. */
export function auditRoutes(
  app: FastifyInstance,
  { database, ready }: Pick<Ledger, 'database' | 'ready'>,
): void {
  app.get<{ Querystring: Query }>('/admin/audit', async ({ query }, reply) => {
    const send = readList(query);
    knownOnly(query, [...filterNames, ...listNames]);
    const filter = readFilter(query);
    await ready();
    return send(reply, {
      pageOf: (place) => auditPage(database, filter, place),
      cursorOf: ({ at, id }) => ({ time: at, id }),
      views: async (rows) => rows.map(auditView),
      line: auditView,
      columns: auditColumns,
      name: 'audit',
    });
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
