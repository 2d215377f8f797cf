import { maxLedgerBacklog } from '@millrace/shared/domain/ledger';
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
import { AdminError, badParameter } from './admin-error.ts';
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
const filterNames = ['from', 'to', 'key', 'user', 'model', 'provider', 'status', 'format'];

/** `GET /admin/usage`, `/admin/requests`, `/admin/requests/{id}` and `/admin/ledger`. */
export function ledgerRoutes(app: FastifyInstance, ledger: Omit<Ledger, 'stop'>): void {
  const { database, ready } = ledger;

  app.get('/admin/ledger', async () => {
    const { stored, rejected, problem } = ledger.consumer;
    const { waiting, dropped } = await ledger.backlog();
    return {
      waiting,
      max_waiting: maxLedgerBacklog,
      dropped,
      stored,
      rejected,
      problem: problem ?? null,
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
    const after = readCursor(query);
    const limit = readCount(query, 'limit', { fallback: 100, most: 1000 });
    await ready();
    if (format !== 'json') {
      for (const name of ['cursor', 'limit']) {
        if (query[name] !== undefined) throw badParameter(name, 'only with format=json');
      }
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
      next: last && page.length > limit ? cursorText(last) : null,
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
    model: readText(query, 'model'),
    provider: readText(query, 'provider'),
    status: readWord(query, 'status', statuses),
  };
}

const cursorText = ({ created_at, id }: { created_at: number; id: string }): string =>
  Buffer.from(`${created_at} ${id}`).toString('base64url');

function readCursor(query: Query): Cursor | undefined {
  const text = readText(query, 'cursor');
  if (text === undefined) return undefined;
  const match = /^(\d{1,16}) (\S{1,64})$/.exec(Buffer.from(text, 'base64url').toString());
  if (!match) throw badParameter('cursor', 'expected the `next` of an earlier answer');
  return { createdAt: Number(match[1]), id: match[2] ?? '' };
}

async function* each<T>(rows: readonly T[]): AsyncGenerator<T> {
  yield* rows;
}

async function* lines(rows: ReturnType<typeof allRequests>) {
  for await (const row of rows) yield requestLine(row);
}
