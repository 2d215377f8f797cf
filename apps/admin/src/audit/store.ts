import type { AuditEntry } from '@millrace/shared/domain/audit';
import { maxAuditDetail } from '@millrace/shared/domain/audit';
import type { LedgerDatabase } from '../database/open.ts';
import { safeText } from '../database/safe-text.ts';
import type { AuditRow } from '../database/schema.ts';

/** Characters of the texts that a client chooses. */
const maxTextChars = 512;
/** The width of the column. */
const maxIdChars = 64;

/** Rows of one statement. */
const maxRows = 500;

/** Stores entries; one that is there already changes nothing, so it may be delivered more than once. */
export async function storeAudit(
  database: LedgerDatabase,
  entries: readonly AuditEntry[],
): Promise<void> {
  const rows = entries.map(rowOf);
  for (let i = 0; i < rows.length; i += maxRows) {
    await database
      .insertInto('millrace_audit')
      .values(rows.slice(i, i + maxRows))
      .onConflict((conflict) => conflict.column('id').doNothing())
      .execute();
  }
}

function rowOf({ id, at, actor, address, action, target, outcome, detail }: AuditEntry): AuditRow {
  const json = detail === undefined ? null : JSON.stringify(detail);
  return {
    id: safeText(id, maxIdChars),
    at,
    actor: bounded(actor),
    address: address === undefined ? null : bounded(address),
    action: bounded(action),
    target: target === undefined ? null : bounded(target),
    outcome: bounded(outcome),
    // A process of another version may have other bounds.
    detail: json === null || json.length > maxAuditDetail ? null : json,
  };
}

const bounded = (text: string): string => safeText(text, maxTextChars);

/**
 * Removes entries from before these times (milliseconds since the epoch), the ones of refused keys and all others. Returns how
 * many, at most `limit`.
 */
export async function removeAuditBefore(
  database: LedgerDatabase,
  { refused, others, limit }: { refused: number; others: number; limit: number },
): Promise<number> {
  const old = await database
    .selectFrom('millrace_audit')
    .select('id')
    .where((eb) =>
      eb.or([
        eb.and([eb('action', '=', 'key.refused'), eb('at', '<', refused)]),
        eb.and([eb('action', '!=', 'key.refused'), eb('at', '<', others)]),
      ]),
    )
    .limit(limit)
    .execute();
  if (old.length === 0) return 0;
  const ids = old.map(({ id }) => id);
  await database.deleteFrom('millrace_audit').where('id', 'in', ids).execute();
  return ids.length;
}
