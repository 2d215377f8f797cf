import { decodeEntry, logStart } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { LedgerAttempt, LedgerEntry } from '@millrace/shared/domain/ledger';
import type { StreamLog } from '@millrace/shared/store/stream-log/port';
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

const continued = ['continue', 'replay', 'anchor'] as const;

/** The facts that the log has of a request; undefined if it has expired. */
async function readFacts(
  log: CompletionOptions['log'],
  id: string,
): Promise<LedgerEntry | undefined> {
  const described = await log.describe(id);
  if (!described) return undefined;
  const attempts: LedgerAttempt[] = [];
  let rescues = 0;
  const note = (line: string): void => {
    const entry = decodeEntry(line);
    if (entry.kind === 'attempt') attempts.push({ started: entry.data });
    if (entry.kind === 'attempt_end') {
      const one = attempts.find(({ started }) => started.attempt === entry.data.attempt);
      if (one) one.ended = entry.data;
    }
    const isContinued =
      entry.kind === 'seam' &&
      entry.data.outcome === 'passed' &&
      (continued as readonly string[]).includes(entry.data.rung);
    if (entry.kind === 'reset' || isContinued) rescues += 1;
  };
  let after: EntryId = logStart;
  for (;;) {
    const page = await log.read(id, after, readBytes);
    if (!page) return undefined;
    for (const { text } of page.lines) note(text);
    const last = page.lines.at(-1);
    if (!last || !page.more) break;
    after = last;
  }
  for (const line of described.late ?? []) if (line !== '') note(line);
  return { id, meta: described.meta, facts: { attempts, rescues }, run: attempts.length };
}
