import type { LedgerEntry } from '@millrace/shared/domain/ledger';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
import { addItem, emptySummary } from '../live/request-log.ts';
import { pause } from '../pause.ts';

export type CompletionOptions = {
  log: Pick<StreamLog, 'describe' | 'read'>;
  /** Milliseconds for which a log can be read after its end. */
  retentionMs: number;
  /** Ids of requests that ran, have no attempts, and ended in this time. */
  incomplete(time: { from: number; to: number; limit: number }): Promise<string[]>;
  store(entries: readonly LedgerEntry[]): Promise<void>;
  onError(error: unknown): void;
};

/** Milliseconds that a worker has to send the facts of a request that another process ended. */
const graceMs = 10_000;
const intervalMs = 10_000;
/** Requests of one round. */
const batch = 100;
const readBytes = 1 << 20;

/**
 * Finds the attempts of requests whose worker never sent them: it was killed, and the request was cancelled or given up
 * before another worker had taken it over. The log still has their starts, and the ends that were written.
 */
export function startCompletion(options: CompletionOptions): { stop(): Promise<void> } {
  const { log, retentionMs, incomplete, store, onError } = options;
  const stopping = new AbortController();
  const { signal } = stopping;

  async function round(): Promise<void> {
    const now = Date.now();
    const ids = await incomplete({ from: now - retentionMs, to: now - graceMs, limit: batch });
    for (const id of ids) {
      if (signal.aborted) return;
      const entry = await readFacts(log, id);
      if (entry) await store([entry]);
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await round().catch(onError);
      await pause(intervalMs, signal);
    }
  }

  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** The facts that the log has of a request; undefined if it has expired. */
async function readFacts(
  log: CompletionOptions['log'],
  id: string,
): Promise<LedgerEntry | undefined> {
  const described = await log.describe(id);
  if (!described) return undefined;
  const summary = emptySummary();
  for (;;) {
    const page = await log.read(id, summary.cursor, readBytes, { timed: true });
    if (!page) return undefined;
    for (const line of page.lines) addItem(summary, { ...line, at: line.at });
    if (page.lines.length === 0 || !page.more) break;
  }
  for (const text of described.late ?? []) {
    if (text !== '') addItem(summary, { ...summary.cursor, text, at: undefined });
  }
  const { attempts, rescues, times } = summary;
  const facts = { attempts, rescues, firstTextAt: times.firstAt, maxGapMs: times.maxGapMs };
  return { id, meta: described.meta, facts, run: attempts.length };
}
