import { visibility } from '@millrace/formats/openai-chat/chunk';
import { DeliveryTimes } from '@millrace/shared/domain/delivery-times';
import { readJsonObject } from '@millrace/shared/domain/json';
import { decodeEntry, isChunkLine, isTerminal, logStart } from '@millrace/shared/domain/entry';
import type { EntryId, Terminal } from '@millrace/shared/domain/entry';
import type { LedgerAttempt } from '@millrace/shared/domain/ledger';
import type { TimedItem, TimedLog } from '@millrace/shared/store/stream-log/timed-log';

/* What the log of a request says of it, for requests that the ledger does not have: those under way, above all. */

export type LogSummary = {
  /** The newest line that it includes. */
  cursor: EntryId;
  attempts: LedgerAttempt[];
  /** The newest run, and its worker; 0 before any. */
  run: number;
  worker: string | undefined;
  times: DeliveryTimes;
  /** Another attempt has continued the answer, or begun it again, so many times, without an operator's moves. */
  rescues: number;
  end: Terminal | undefined;
};

export const emptySummary = (): LogSummary => ({
  cursor: logStart,
  attempts: [],
  run: 0,
  worker: undefined,
  times: new DeliveryTimes(),
  rescues: 0,
  end: undefined,
});

/** Adds an item of the log. Changes the summary. */
export function addItem(summary: LogSummary, item: TimedItem): void {
  if ('kind' in item) {
    summary.run = item.run;
    summary.worker = item.worker;
    return;
  }
  summary.cursor = { run: item.run, seq: item.seq };
  if (isChunkLine(item.text)) {
    if (visibility(readJsonObject(item.text.slice(1))) === 'visible') summary.times.delivered();
    summary.times.readAt(item.at);
    return;
  }
  const entry = decodeEntry(item.text);
  if (entry.kind === 'attempt') summary.attempts.push({ started: entry.data });
  else if (entry.kind === 'attempt_end') {
    const { attempt } = entry.data;
    const open = summary.attempts.find(({ started }) => started.attempt === attempt);
    if (open) open.ended = entry.data;
  } else if (entry.kind === 'seam') {
    const { outcome, rung } = entry.data;
    if (outcome === 'passed' && rung !== 'start' && rung !== 'restart') resume(summary);
  } else if (entry.kind === 'reset') resume(summary);
  else if (isTerminal(entry)) summary.end = entry;
}

/** Another attempt continues the answer, or begins it again; after an operator's move that is no rescue. */
function resume(summary: LogSummary): void {
  summary.times.resuming();
  const before = summary.attempts.findLast(
    ({ ended }) => ended !== undefined && ended.outcome !== 'superseded',
  );
  if (before?.ended?.outcome !== 'moved') summary.rescues += 1;
}

/** Items of one read. */
const pageSize = 5000;
/** Requests whose summaries are kept, so that a page that shows one reads only the new lines of its log. */
const maxKept = 100;

export type RequestLogs = {
  /** Undefined if there is no log: the request waits, or has expired. */
  summary(id: string): Promise<LogSummary | undefined>;
};

export function createRequestLogs(log: TimedLog): RequestLogs {
  const kept = new Map<string, LogSummary>();

  function keep(id: string, summary: LogSummary): void {
    kept.delete(id);
    kept.set(id, summary);
    const [oldest] = kept.keys();
    if (kept.size > maxKept && oldest !== undefined) kept.delete(oldest);
  }

  return {
    async summary(id) {
      const known = kept.get(id);
      const summary = known
        ? { ...known, attempts: [...known.attempts], times: known.times.copy() }
        : emptySummary();
      for (let more = true; more;) {
        const page = await log.read(id, summary.cursor, pageSize);
        if (!page) return undefined;
        for (const item of page.items) addItem(summary, item);
        ({ more } = page);
      }
      keep(id, summary);
      return summary;
    },
  };
}
