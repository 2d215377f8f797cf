import type { EntryId, Line } from '../../domain/entry.ts';

/* The lines of a log with their times, for operators: what readers were sent, and when. */

/** The take-over of a log by a run; it has no line of its own. */
export type SealedBy = { readonly kind: 'seal'; readonly worker: string };

/** `at`: milliseconds since the epoch; undefined for a line that tells no time, as of an older version. */
export type TimedLine = Line & { readonly at: number | undefined };
export type TimedItem = TimedLine | (SealedBy & { at: number | undefined; run: number; seq: 0 });

export type TimedPage = { items: readonly TimedItem[]; more: boolean };

export type TimedLog = {
  /** Items after a cursor, at most so many, or a few megabytes; undefined if there is no log. */
  read(id: string, after: EntryId, limit: number): Promise<TimedPage | undefined>;
};
