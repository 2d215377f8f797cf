import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMigrator, openDatabase } from '../../apps/admin/src/database/open.ts';
import { only } from '../../apps/admin/src/ledger/filter.ts';
import type { Filter } from '../../apps/admin/src/ledger/filter.ts';
import { requestsPage, usage } from '../../apps/admin/src/ledger/queries.ts';
import { median } from '../load/samples.ts';
import { dayMs, fillLedger } from './fill.ts';

export interface LedgerResult {
  rows: number;
  /** Requests that the consumer's own code stores in a second, each with one attempt. */
  storedPerSecond: number;
  /** Milliseconds, medians of five. */
  queries: { name: string; rows: number; ms: number }[];
}

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
    await fillLedger(database, { rows, newest, signal, onProgress });
    const seconds = (performance.now() - since) / 1000;
    const page = async (filter: Filter) =>
      (await requestsPage(database, filter, { limit: 100 })).rows;
    const week = { from: newest - 7 * dayMs };
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
