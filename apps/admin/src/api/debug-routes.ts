import type { DebugRecord } from '@millrace/shared/domain/debug-record';
import { maxWaitingRecords } from '@millrace/shared/domain/debug-record';
import { parseRequestId } from '@millrace/shared/domain/request';
import type { FastifyInstance } from 'fastify';
import type { DebugLog } from '../debug/debug-log.ts';
import { AdminError } from './admin-error.ts';
import { knownOnly } from './parameters.ts';
import type { Query } from './parameters.ts';

/** `GET /admin/requests/{id}/debug`, and `GET /admin/debug`. `log`: undefined if the config has no `debugLog`. */
export function debugRoutes(app: FastifyInstance, log: Omit<DebugLog, 'stop'> | undefined): void {
  app.get<{ Params: { id: string }; Querystring: Query }>(
    '/admin/requests/:id/debug',
    async ({ params: { id }, query }) => {
      knownOnly(query, []);
      const own = required(log);
      const parsed = parseRequestId(id);
      const lines = parsed ? await readable(own.find(id, parsed.createdAt)) : [];
      if (lines.length === 0) throw notFound(id);
      // One that was delivered twice after a control plane died is one record.
      const records = new Map<string, DebugRecord>();
      for (const line of lines) {
        const record = JSON.parse(line) as DebugRecord;
        records.set(record.id, record);
      }
      const data = [...records.values()];
      data.sort((one, other) => one.started_at - other.started_at);
      return { data };
    },
  );

  app.get<{ Querystring: Query }>('/admin/debug', async ({ query }) => {
    knownOnly(query, []);
    const own = required(log);
    const [usage, backlog] = await Promise.all([readable(own.usage()), own.backlog()]);
    return {
      ...usage,
      ...backlog,
      max_waiting: maxWaitingRecords,
      problem: own.problem ?? null,
    };
  });
}

function required<T>(log: T | undefined): T {
  if (log !== undefined) return log;
  throw new AdminError(
    404,
    'no_debug_log',
    'This fleet keeps no debug log: set debugLog in the config, and restart it.',
  );
}

/** Without this, an error of a file would be reported as one of the ledger's database. */
async function readable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new AdminError(
      503,
      'debug_log_unreadable',
      `The control plane cannot read the files of its debug log (${code ?? 'unknown error'}).`,
    );
  }
}

const notFound = (id: string): AdminError =>
  new AdminError(
    404,
    'record_not_found',
    `The debug log of this control plane has no record of the request ${id.slice(0, 100)}. It has those of keys with debug: true and a sample of the others, until their retention ends; some are dropped under load (GET /admin/debug).`,
  );
