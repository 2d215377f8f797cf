import { maxAuditBacklog } from '@millrace/shared/domain/audit';
import { maxLedgerBacklog } from '@millrace/shared/domain/ledger';
import type { LedgerBacklog } from '@millrace/shared/store/ledger/port';
import type { FastifyInstance } from 'fastify';
import {
  allRequests,
  attemptsOf,
  groupings,
  requestById,
  requestsPage,
  usage,
} from '../ledger/queries.ts';
import type { Cursor, Filter } from '../ledger/queries.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { AdminError } from './admin-error.ts';
import { readCursor, rejectPaging, writeCursor } from './cursor.ts';
import { knownOnly, readCount, readText, readTime, readWord, readWords } from './parameters.ts';
import type { Query } from './parameters.ts';
import { readFormat, sendRows } from './rendering.ts';
import {
  eventsOf,
  requestColumns,
  requestLine,
  requestView,
  usageColumns,
  usageView,
} from './views.ts';

const statuses = ['completed', 'failed', 'cancelled'] as const;
const filterNames = [
  'from',
  'to',
  'key',
  'user',
  'session',
  'model',
  'provider',
  'status',
  'format',
];

export type LedgerSource = Omit<Ledger, 'stop'> & {
  /** The audit entries that wait for the database. */
  auditBacklog(): Promise<LedgerBacklog>;
};

/** `GET /admin/usage`, `/admin/requests`, `/admin/requests/{id}` and `/admin/ledger`. */
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
    knownOnly(query, [...filterNames, 'group_by']);
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
    knownOnly(query, [...filterNames, 'cursor', 'limit']);
    const format = readFormat(query);
    const filter = readFilter(query);
    const after = readPlace(query);
    const limit = readCount(query, 'limit', { fallback: 100, most: 1000 });
    await ready();
    if (format !== 'json') {
      rejectPaging(query);
      return sendRows(reply, format, {
        rows: lines(allRequests(database, filter)),
        columns: requestColumns,
        name: 'requests',
      });
    }
    const page = await requestsPage(database, filter, { after, limit: limit + 1 });
    const rows = page.slice(0, limit);
    const last = rows.at(-1);
    const attempts = await attemptsOf(
      database,
      rows.map(({ id }) => id),
    );
    return {
      data: rows.map((row) => requestView(row, attempts.get(row.id) ?? [])),
      next: last && page.length > limit ? writeCursor(last.created_at, last.id) : null,
    };
  });

  app.get<{ Params: { id: string } }>('/admin/requests/:id', async ({ params: { id } }) => {
    await ready();
    const row = await requestById(database, id);
    if (!row) {
      throw new AdminError(
        404,
        'request_not_found',
        `The ledger has no request ${id}. It has requests that have ended, until their retention ends; GET /v1/jobs/{id} shows one that runs.`,
      );
    }
    const attempts = (await attemptsOf(database, [id])).get(id) ?? [];
    return { ...requestView(row, attempts), events: eventsOf(row, attempts) };
  });
}

function readFilter(query: Query): Filter {
  return {
    from: readTime(query, 'from'),
    to: readTime(query, 'to'),
    key: readText(query, 'key'),
    user: readText(query, 'user'),
    session: readText(query, 'session'),
    model: readText(query, 'model'),
    provider: readText(query, 'provider'),
    status: readWord(query, 'status', statuses),
  };
}

function readPlace(query: Query): Cursor | undefined {
  const cursor = readCursor(query);
  return cursor && { createdAt: cursor.time, id: cursor.id };
}

async function* each<T>(rows: readonly T[]): AsyncGenerator<T> {
  yield* rows;
}

async function* lines(rows: ReturnType<typeof allRequests>) {
  for await (const row of rows) yield requestLine(row);
}
