import { compareEntryIds, sameEntryId } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';

/** Where a reader begins that comes with a cursor. */
export type Start =
  | { kind: 'after'; after: EntryId }
  /** The reader has the terminal entry. `before`: the cursor behind which that entry comes once more. */
  | { kind: 'finished'; before: EntryId }
  /**
   * The log does not reach that far: the cursor was made up, or Redis lost entries in a failover. What the reader has is
   * void, and the reader must learn so.
   */
  | { kind: 'ahead' };

/** The one rule for every transport. The relay finds entries that were lost in mid-log. */
export function startOf({ last, ended }: Pick<Described, 'last' | 'ended'>, after: EntryId): Start {
  if (compareEntryIds(after, last) > 0) return { kind: 'ahead' };
  if (ended && sameEntryId(after, last)) {
    return { kind: 'finished', before: { run: last.run, seq: last.seq - 1 } };
  }
  return { kind: 'after', after };
}
