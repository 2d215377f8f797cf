import type { AuditWriter, NewAuditEntry } from '@millrace/shared/store/audit/audit-writer';

/** An audit log in memory. */
export function memoryAudit(): Pick<AuditWriter, 'record'> & { readonly entries: NewAuditEntry[] } {
  const entries: NewAuditEntry[] = [];
  return {
    entries,
    async record(entry) {
      entries.push(entry);
      return true;
    },
  };
}
