import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMigrator, openDatabase } from '../../apps/admin/src/database/open.ts';
import { only } from '../../apps/admin/src/ledger/filter.ts';
import type { Filter } from '../../apps/admin/src/ledger/filter.ts';
import { requestsPage, usage } from '../../apps/admin/src/ledger/queries.ts';
import { storeEntries } from '../../apps/admin/src/ledger/store.ts';
import type { LedgerEntry } from '../../packages/shared/src/domain/ledger.ts';
import { median } from '../load/samples.ts';

export interface LedgerResult {
  rows: number;
  /** Requests that the consumer's own code stores in a second, each with one attempt. */
  storedPerSecond: number;
  /** Milliseconds, medians of five. */
  queries: { name: string; rows: number; ms: number }[];
}

const DAY_MS = 86_400_000;
const DAYS = 30;
/** Entries of one transaction, as in the consumer. */
const BATCH = 500;

/** Fills a SQLite ledger as the control plane does, and asks it what an operator asks. */
export async function runLedger(
  { quick }: { quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<LedgerResult> {
  const rows = quick ? 20_000 : 1_000_000;
  const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-ledger-'));
  const database = openDatabase(`sqlite:${join(folder, 'ledger.db')}`, () => {});
  try {
    await createMigrator(database)();
    const newest = Date.now();
    const since = performance.now();
    for (let stored = 0; stored < rows; stored += BATCH) {
      signal.throwIfAborted();
      onProgress(`ledger: ${stored} of ${rows} requests`);
      const entries = Array.from({ length: BATCH }, (_, i) => entryOf(stored + i, rows, newest));
      await storeEntries(database, entries, (_target, { input, output }) => input + output);
    }
    const seconds = (performance.now() - since) / 1000;
    const page = async (filter: Filter) =>
      (await requestsPage(database, filter, { limit: 100 })).rows;
    const week = { from: newest - 7 * DAY_MS };
    const queries: LedgerResult['queries'] = [];
    const time = async (name: string, run: () => Promise<readonly unknown[]>): Promise<void> => {
      onProgress(`ledger: ${name}`);
      const all: number[] = [];
      let found = 0;
      for (let i = 0; i < 5; i++) {
        const begun = performance.now();
        found = (await run()).length;
        all.push(performance.now() - begun);
      }
      queries.push({ name, rows: found, ms: median(all) });
    };
    await time('usage by key and day, all', () => usage(database, {}, ['key', 'day']));
    await time('usage by key and day, 7 days', () => usage(database, week, ['key', 'day']));
    await time('usage by model and hour, one key', () =>
      usage(database, { key: only('team-3') }, ['model', 'hour']),
    );
    await time('failed requests of a user, newest 100', () =>
      page({ status: only('failed'), user: 'user-50' }),
    );
    await time('newest 100 requests', () => page({}));
    return { rows, storedPerSecond: rows / seconds, queries };
  } finally {
    await database.destroy();
    await rm(folder, { recursive: true, force: true });
  }
}

/** One request of 30 days: 20 keys, 1,000 users, 5 models, one failure in 50. */
function entryOf(i: number, rows: number, newest: number): LedgerEntry {
  const createdAt = Math.round(newest - DAYS * DAY_MS * (1 - i / rows));
  const id = `req_0_${createdAt.toString(36).padStart(9, '0')}${String(i).padStart(24, '0')}`;
  const hasFailed = i % 50 === 0;
  const usage = { prompt_tokens: 900 + (i % 200), completion_tokens: 100 + (i % 300) };
  const started = {
    run: 1,
    attempt: 1,
    provider: 'openai',
    model: 'gpt-4o',
    mode: 'start',
  } as const;
  const ended = { run: 1, attempt: 1, at: createdAt + 900, firstTokenAt: createdAt + 200 };
  const at = createdAt + 901;
  return {
    id,
    run: 1,
    meta: {
      id,
      keyId: `team-${i % 20}`,
      endpoint: '/v1/chat/completions',
      model: `model-${i % 5}`,
      stream: true,
      reader: 'plain',
      includeUsage: false,
      attached: true,
      createdAt,
    },
    end: hasFailed
      ? {
          kind: 'failed',
          data: {
            error: { message: 'Too many.', type: 'server_error', param: null, code: 'overloaded' },
            httpStatus: 503,
            at,
          },
        }
      : { kind: 'done', data: { finishReason: 'stop', attempts: 1, at } },
    facts: {
      attempts: [
        {
          started: { ...started, at: createdAt + 10 },
          ended: { ...ended, outcome: hasFailed ? 'overloaded' : 'completed', usage },
        },
      ],
      user: `user-${i % 1000}`,
      firstTextAt: createdAt + 200,
      rescues: i % 100 === 0 ? 1 : 0,
    },
  };
}
