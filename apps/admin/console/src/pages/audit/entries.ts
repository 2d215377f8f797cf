/* Audit entries as the page shows them (docs/operating.md, the audit log). Pure. */

/** `GET /admin/audit`. */
export type AuditEntry = {
  id: string;
  at: string;
  actor: string;
  address: string | null;
  action: string;
  target: string | null;
  /** `ok`, or the code of the error that the actor got. */
  outcome: string;
  detail: Record<string, unknown> | null;
};

/** The actions that have a name of their own, for the filter. */
export const actions: readonly string[] = [
  'key.create',
  'key.update',
  'key.rotate',
  'key.revoke',
  'key.refused',
  'fleet.drain',
  'fleet.resume',
  'config.reload',
  'config.check',
  'config.changed',
  'config.refused',
  'upstream.open',
  'upstream.close',
  'request.cancel',
  'request.delete',
  'request.move',
  'queue.change',
  'webhook.replay',
  'webhook.delete',
  'session.start',
  'session.end',
  'chaos',
];

/** The page that shows what an entry acted on; undefined if none does. */
export function targetLink({ action, target }: AuditEntry): string | undefined {
  if (target === null) return undefined;
  const id = encodeURIComponent(target);
  if (action.startsWith('key.') && action !== 'key.refused') return `/admin/console/keys/${id}`;
  if (action.startsWith('request.')) return `/admin/console/requests/${id}`;
  if (action.startsWith('fleet.')) return '/admin/console/fleet';
  if (action.startsWith('upstream.')) return '/admin/console/upstreams';
  if (action.startsWith('config.')) return '/admin/console/config';
  if (action.startsWith('webhook.')) return '/admin/console/webhooks';
  return undefined;
}

/** Characters of a detail in a row. */
const maxSummary = 160;

/** A detail in one line: `models: gpt-4o, gpt-5 · debug: true`. Empty values, and the target's id, are left out. */
export function summaryOf({ detail, target }: Pick<AuditEntry, 'detail' | 'target'>): string {
  const parts = Object.entries(detail ?? {})
    .filter(([name, value]) => !isEmpty(value) && !(name === 'id' && value === target))
    .map(([name, value]) => `${name}: ${textOf(value)}`);
  const text = parts.join(' · ');
  return text.length > maxSummary ? `${text.slice(0, maxSummary)}…` : text;
}

const isEmpty = (value: unknown): boolean =>
  value === null || value === '' || (Array.isArray(value) && value.length === 0);

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join(', ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
