import { compareEntryIds, logStart, parseEntryId } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { ReadersAnswer, ReaderView } from '@millrace/shared/domain/inquiry';
import type { Asked } from '@millrace/shared/store/inquiries/port';
import type { TimedLog } from '@millrace/shared/store/stream-log/timed-log';
import { time } from '../api/views.ts';

/* Who reads a request, and how far each reader is behind its log. */

/** Readers in one answer. */
const maxReaders = 500;
/** Readers at different places whose lag is measured in the log. */
const maxMeasured = 20;
/** Lines that are counted for a reader that another run's lines are before. */
const maxCounted = 5000;

type Lag = { entries: number; ms: number | null };
const noLag: Lag = { entries: 0, ms: 0 };

/** `last`: the newest line of the log. */
export async function readersView(
  asked: Asked,
  { id, last, log }: { id: string; last: EntryId; log: TimedLog },
) {
  const found = asked.answers.flatMap(({ name, value }) => {
    const { readers } = value as ReadersAnswer;
    return Array.isArray(readers) ? readers.map((one) => ({ ingress: name, ...one })) : [];
  });
  const readers = found.slice(0, maxReaders);
  const lags = new Map<string, Lag>();
  for (const { entry } of readers) {
    if (lags.has(entry) || lags.size >= maxMeasured) continue;
    lags.set(entry, await lagOf(parseEntryId(entry) ?? logStart, { id, last, log }));
  }
  return {
    data: readers.map((reader) => readerView(reader, lags.get(reader.entry))),
    truncated: found.length > readers.length,
  };
}

async function lagOf(
  cursor: EntryId,
  { id, last, log }: { id: string; last: EntryId; log: TimedLog },
): Promise<Lag> {
  if (compareEntryIds(last, cursor) <= 0) return noLag;
  const isSameRun = last.run === cursor.run;
  const page = await log.read(id, cursor, isSameRun ? 1 : maxCounted);
  const lines = (page?.items ?? []).filter((item) => 'text' in item);
  const [first] = lines;
  const ms = first?.at === undefined ? null : Math.max(0, Date.now() - first.at);
  return { entries: isSameRun ? last.seq - cursor.seq : lines.length, ms };
}

const readerView = (reader: ReaderView & { ingress: string }, lag: Lag | undefined) => ({
  ingress: reader.ingress,
  transport: reader.transport,
  native: reader.native,
  since_at: time(reader.since),
  entry: reader.entry,
  lag_entries: lag?.entries ?? null,
  lag_ms: lag?.ms ?? null,
  buffered_bytes: reader.buffered,
});
