import { compareEntryIds, sameEntryId } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';

/** Where a reader with a cursor begins. */
export type Start =
  | { kind: 'after'; after: EntryId }
  /** The reader has the terminal entry. `before`: the cursor after which that entry is sent once more. */
  | { kind: 'finished'; before: EntryId }
  /**
   * The log does not reach that far: the cursor was invented, or Redis lost entries in a failover. The
   * reader's lines are void, and the reader must be informed.
   */
  | { kind: 'ahead' };

/** The common rule of all transports. The relay detects entries that were lost in the middle of a log. */
export function startOf({ last, ended }: Pick<Described, 'last' | 'ended'>, after: EntryId): Start {
  if (compareEntryIds(after, last) > 0) return { kind: 'ahead' };
  if (ended && sameEntryId(after, last)) {
    return { kind: 'finished', before: { run: last.run, seq: last.seq - 1 } };
  }
  return { kind: 'after', after };
}
