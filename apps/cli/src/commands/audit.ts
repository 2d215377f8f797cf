import type { Ingress } from '../http/ingress.ts';
import type { Io } from '../io.ts';
import { clock } from '../output/format.ts';
import { table } from '../output/table.ts';
import type { Column } from '../output/table.ts';

export type AuditOptions = {
  from?: string;
  to?: string;
  actor?: string;
  action?: string;
  target?: string;
  limit?: number;
  cursor?: string;
  json?: true;
  csv?: true;
};

export type AuditRow = {
  at: string;
  actor: string;
  address: string | null;
  action: string;
  target: string | null;
  outcome: string;
  detail: unknown;
};

const shown = 20;

/** `audit`: what operators did, how the config changed, and which keys were refused. */
export async function audit(
  ingress: Ingress,
  { out, err, pour }: Io,
  { limit = shown, cursor, json, csv, from, to, actor, action, target }: AuditOptions,
): Promise<void> {
  const query = { from, to, actor, action, target };
  if (csv) return ingress.download('/admin/audit', { ...query, format: 'csv' }, pour);
  const page = await ingress.getJson<{ data: AuditRow[]; next: string | null }>('/admin/audit', {
    ...query,
    limit,
    cursor,
  });
  if (json) return out(`${JSON.stringify(page, null, 2)}\n`);
  if (page.data.length === 0) return err('the audit log has no such entry\n');
  out(table(page.data, auditColumns));
  if (page.next !== null) err(`more: --cursor ${page.next}\n`);
}

export const auditColumns: readonly Column<AuditRow>[] = [
  { title: 'time', cell: ({ at }) => clock(at) },
  { title: 'actor', cell: ({ actor }) => actor },
  { title: 'address', cell: ({ address }) => address },
  { title: 'action', cell: ({ action }) => action },
  { title: 'target', cell: ({ target }) => target },
  { title: 'outcome', cell: ({ outcome }) => outcome },
  { title: 'detail', cell: ({ detail }) => (detail === null ? '' : JSON.stringify(detail)) },
];
