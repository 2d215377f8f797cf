import type { IncomingHttpHeaders } from 'node:http';
import { compareEntryIds, parseEntryId, sameEntryId } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { apiError } from '../../errors.ts';

/** Where a reader begins that comes with the id of the last entry that it was sent. */
export type Start =
  | { kind: 'after'; after: EntryId }
  /** It has the terminal entry. `before`: the place from which that entry comes once more. */
  | { kind: 'finished'; before: EntryId }
  /**
   * The log does not reach that far: the cursor was made up, or Redis lost entries in a failover. What
   * the reader has is void, and it must be told so.
   */
  | { kind: 'ahead' };

/** The one rule for every transport. Entries that were lost in mid-log are found by the relay. */
export function startOf({ last, ended }: Pick<Described, 'last' | 'ended'>, after: EntryId): Start {
  if (compareEntryIds(after, last) > 0) return { kind: 'ahead' };
  if (ended && sameEntryId(after, last)) {
    return { kind: 'finished', before: { run: last.run, seq: last.seq - 1 } };
  }
  return { kind: 'after', after };
}

/** `Last-Event-ID`; undefined without one. Throws a 400 on what is no entry id. */
export function readLastEventId(headers: IncomingHttpHeaders): EntryId | undefined {
  const value = headers['last-event-id'];
  // An EventSource that was sent no id has an empty one.
  return value === undefined || value === '' ? undefined : parseCursor(value, 'Last-Event-ID');
}

/** Throws a 400 that names `param` on what is no entry id. */
export function parseCursor(text: unknown, param: string): EntryId {
  const id = typeof text === 'string' ? parseEntryId(text) : undefined;
  if (id) return id;
  throw apiError('invalid_cursor', { param });
}
