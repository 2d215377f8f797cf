import { compareEntryIds, decodeEntry, isTerminal, logStart } from '@millrace/shared/domain/entry';
import type {
  AttemptEnded,
  AttemptStarted,
  EntryId,
  Line,
  Terminal,
} from '@millrace/shared/domain/entry';

export type AttemptSummary = { started: AttemptStarted; ended?: AttemptEnded };

/** The summary of a log without its answer: the attempts, and the end. */
export type LogSummary = {
  /** The newest line that it includes. */
  cursor: EntryId;
  attempts: AttemptSummary[];
  end: Terminal | undefined;
  /** Characters of the lines whose data it keeps. */
  chars: number;
};

export const emptySummary = (): LogSummary => {
  return { cursor: logStart, attempts: [], end: undefined, chars: 0 };
};

/** Skips lines of the answer without parsing them. */
export function addLine(summary: LogSummary, line: Line): void {
  summary.cursor = { run: line.run, seq: line.seq };
  const kind = line.text[0];
  if (kind === 'c' || kind === 'u' || kind === 'r' || kind === 's' || kind === 'z') return;
  const entry = decodeEntry(line.text);
  summary.chars += line.text.length;
  if (entry.kind === 'attempt') summary.attempts.push({ started: entry.data });
  else if (entry.kind === 'attempt_end') {
    const open = summary.attempts.find(({ started }) => started.attempt === entry.data.attempt);
    if (open) open.ended = entry.data;
  } else if (isTerminal(entry)) summary.end = entry;
}

/**
 * The summaries of requests under way that clients have viewed: the next view of a request reads only the new
 * lines of its log. At the bound the oldest are dropped, and read again when a client asks.
 */
export type SummaryCache = {
  /** A copy that the caller continues; empty if there is none. */
  get(id: string): LogSummary;
  put(id: string, summary: LogSummary): void;
  delete(id: string): void;
  /** Characters, approximately. */
  readonly held: number;
};

/** Characters that a summary without attempts counts as. */
const emptyChars = 200;

export function createSummaryCache(maxChars: number): SummaryCache {
  const summaries = new Map<string, LogSummary>();
  let held = 0;

  function drop(id: string): void {
    const known = summaries.get(id);
    if (!known || !summaries.delete(id)) return;
    held -= known.chars + emptyChars;
  }

  return {
    get(id) {
      const known = summaries.get(id);
      if (!known) return emptySummary();
      return { ...known, attempts: known.attempts.map((attempt) => ({ ...attempt })) };
    },
    put(id, summary) {
      const known = summaries.get(id);
      // If two views run concurrently, the one that has read less may finish last.
      if (known && compareEntryIds(known.cursor, summary.cursor) > 0) return;
      drop(id);
      summaries.set(id, summary);
      held += summary.chars + emptyChars;
      for (const oldest of summaries.keys()) {
        if (held <= maxChars) break;
        drop(oldest);
      }
    },
    delete: drop,
    get held() {
      return held;
    },
  };
}
