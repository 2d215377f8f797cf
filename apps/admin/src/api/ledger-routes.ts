import { maxAuditBacklog } from '@millrace/shared/domain/audit';
import { maxLedgerBacklog } from '@millrace/shared/domain/ledger';
import type { Prices } from '@millrace/shared/cost/prices';
import type { LedgerBacklog } from '@millrace/shared/store/ledger/port';
import type { FastifyInstance } from 'fastify';
import { attemptsOf, groupings, requestsPage, usage } from '../ledger/queries.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { listNames, readList } from './list.ts';
import { knownOnly, readWords } from './parameters.ts';
import type { Query } from './parameters.ts';
import { readFormat, sendRows } from './rendering.ts';
import { filterNames, readFilter, readSearch } from './request-filter.ts';
import { requestColumns, requestLine, requestView, usageColumns, usageView } from './views.ts';

export type LedgerSource = Omit<Ledger, 'stop'> & {
  /** The audit entries that wait for the database. */
  auditBacklog(): Promise<LedgerBacklog>;
  prices: Prices;
};

/** `GET /admin/usage`, `/admin/requests` and `/admin/ledger`. */
export function ledgerRoutes(app: FastifyInstance, ledger: LedgerSource): void {
  const { database, ready } = ledger;

  app.get('/admin/ledger', async () => {
    const { stored, rejected, problem } = ledger.consumer;
    const [{ waiting, dropped }, audit] = await Promise.all([
      ledger.backlog(),
      ledger.auditBacklog(),
    ]);
    return {
      waiting,
      max_waiting: maxLedgerBacklog,
      dropped,
      stored,
      rejected,
      problem: problem ?? null,
      audit: { ...audit, max_waiting: maxAuditBacklog },
    };
  });

  app.get<{ Querystring: Query }>('/admin/usage', async ({ query }, reply) => {
    knownOnly(query, [...filterNames, 'format', 'group_by']);
    const groups = readWords(query, 'group_by', groupings);
    const format = readFormat(query);
    const filter = readFilter(query);
    await ready();
    const rows = await usage(database, filter, groups);
    const data = rows.map((row) => usageView(row, groups));
    if (format === 'json') return { data };
    return sendRows(reply, format, {
      rows: each(data),
      columns: usageColumns(groups),
      name: 'usage',
    });
  });

  app.get<{ Querystring: Query }>('/admin/requests', async ({ query }, reply) => {
    knownOnly(query, [...filterNames, 'q', ...listNames]);
    const send = readList(query);
    const filter = { ...readFilter(query), text: readSearch(query) };
    await ready();
    return send(reply, {
      pageOf: (place) => requestsPage(database, filter, place),
      cursorOf: ({ created_at, id }) => ({ time: created_at, id }),
      async views(rows) {
        const ids = rows.map(({ id }) => id);
        const attempts = await attemptsOf(database, ids);
        return rows.map((row) => requestView(row, attempts.get(row.id) ?? []));
      },
      line: requestLine,
      columns: requestColumns,
      name: 'requests',
    });
  });
}

async function* each<T>(rows: readonly T[]): AsyncGenerator<T> {
  yield* rows;
}
