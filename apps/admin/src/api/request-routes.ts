import type { Prices } from '@millrace/shared/cost/prices';
import { decodeEntry, formatEntryId, logStart, parseEntryId } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import { parseRequestId } from '@millrace/shared/domain/request';
import type { Described } from '@millrace/shared/store/stream-log/port';
import type { TimedItem, TimedLog } from '@millrace/shared/store/stream-log/timed-log';
import type { FastifyInstance } from 'fastify';
import { attemptsOf, requestById } from '../ledger/queries.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { emptySummary } from '../live/request-log.ts';
import type { RequestLogs } from '../live/request-log.ts';
import { openRequestView } from '../live/request-view.ts';
import { AdminError, badParameter } from './admin-error.ts';
import { knownOnly, readCount, readText } from './parameters.ts';
import type { Query } from './parameters.ts';
import { askRedis } from './redis-answer.ts';
import { eventsOf, requestView, timeOrNull } from './views.ts';

export type RequestSource = {
  /** Undefined: this fleet keeps no ledger. */
  ledger: Pick<Ledger, 'database' | 'ready'> | undefined;
  describe(id: string): Promise<Described | undefined>;
  logs: RequestLogs;
  timedLog: TimedLog;
  prices: Prices;
  /** How long Redis keeps the log of an ended request. */
  retentionMs: number;
  isReady(): boolean;
  onError(error: unknown): void;
};

type RequestRoute = { Params: { id: string }; Querystring: Query };

/** Items in one answer. */
const maxItems = 10_000;

/** `GET /admin/requests/{id}` and `…/log`: one request, also one under way. */
export function requestRoutes(app: FastifyInstance, source: RequestSource): void {
  const { ledger, logs, timedLog, prices } = source;

  async function ended(id: string) {
    if (!ledger) return undefined;
    await ledger.ready();
    const row = await requestById(ledger.database, id);
    if (!row) return undefined;
    const attempts = (await attemptsOf(ledger.database, [id])).get(id) ?? [];
    return { ...requestView(row, attempts), events: eventsOf(row, attempts) };
  }

  async function inRedis(id: string) {
    const described = await source.describe(id);
    if (!described) return undefined;
    const log = (await logs.summary(id)) ?? emptySummary();
    return openRequestView(described.meta, log, { prices, now: Date.now() });
  }

  app.get<RequestRoute>('/admin/requests/:id', async ({ params: { id }, query }) => {
    knownOnly(query, []);
    const mayBeOpen = parseRequestId(id) !== undefined;
    // A request under way is only in Redis, and the views of it go on without the ledger.
    const open =
      mayBeOpen && source.isReady() ? await askRedis(source, () => inRedis(id)) : undefined;
    if (open && open.ended_at === null) return open;
    const known = open ? await ended(id).catch(() => undefined) : await ended(id);
    const found = known ?? open;
    if (found) return found;
    if (mayBeOpen && !source.isReady()) await askRedis(source, () => inRedis(id));
    throw notFound(id);
  });

  app.get<RequestRoute>('/admin/requests/:id/log', async ({ params: { id }, query }) => {
    knownOnly(query, ['after', 'limit']);
    const after = readEntry(query, 'after');
    const limit = readCount(query, 'limit', { fallback: 1000, most: maxItems });
    const parsed = parseRequestId(id);
    if (!parsed) throw notFound(id);
    const [described, page] = await askRedis(source, () =>
      Promise.all([source.describe(id), timedLog.read(id, after, limit)]),
    );
    if (!described) {
      if (Date.now() - parsed.createdAt > source.retentionMs) throw expired(id);
      throw notFound(id);
    }
    const { items, more } = page ?? { items: [], more: false };
    const last = items.at(-1);
    return {
      data: items.map(itemView),
      next: more && last ? formatEntryId(last) : null,
      expired: false,
    };
  });
}

/** The types of items: the kinds of lines, but for one. */
const types: Readonly<Record<string, string>> = { attempt_end: 'attempt_ended' };

function itemView(item: TimedItem) {
  const place = { entry: formatEntryId(item), at: timeOrNull(item.at ?? null) };
  if ('kind' in item) {
    return { ...place, type: 'run', data: { run: item.run, worker: item.worker } };
  }
  const entry = decodeEntry(item.text);
  const type = types[entry.kind] ?? entry.kind;
  return { ...place, type, data: 'text' in entry ? parsed(entry.text) : entry.data };
}

/** A chunk is a provider's own text; its JSON was read before it was written. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function readEntry(query: Query, name: string): EntryId {
  const text = readText(query, name);
  if (text === undefined) return logStart;
  const entry = parseEntryId(text);
  if (!entry) throw badParameter(name, 'expected the id of an entry, as 1-25');
  return entry;
}

export const notFound = (id: string): AdminError =>
  new AdminError(
    404,
    'request_not_found',
    `No request ${id.slice(0, 100)} is under way, and none that has ended is known. The ledger has ended requests until their retention ends; one that an ingress refused is in no record but its log line.`,
  );

const expired = (id: string): AdminError =>
  new AdminError(
    410,
    'log_expired',
    `The log of ${id.slice(0, 100)} has left Redis with its retention.`,
  );
