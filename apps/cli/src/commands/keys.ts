import type { Ingress } from '../http/ingress.ts';
import type { Io } from '../io.ts';
import { clock, plural } from '../output/format.ts';
import { table } from '../output/table.ts';
import type { Column } from '../output/table.ts';

export type Key = {
  id: string;
  source: 'api' | 'config';
  status: 'valid' | 'expired' | 'revoked' | 'shadowed';
  models: string[];
  priority: string;
  weight: number;
  limits: {
    requestsPerMinute?: number;
    tokensPerMinute?: number;
    concurrent?: number;
  } | null;
  created_at: string | null;
  expires_at: string | null;
  secrets: { created_at: string | null; valid_until: string | null }[];
};

type KeyWithSecret = Key & { secret: string };

const pathOf = (id: string): string => `/admin/keys/${encodeURIComponent(id)}`;

/** `keys list`. */
export async function listKeys(
  ingress: Ingress,
  { out, err }: Io,
  { json }: { json?: true },
): Promise<void> {
  const answer = await ingress.getJson<{ data: Key[] }>('/admin/keys');
  if (json) return out(`${JSON.stringify(answer, null, 2)}\n`);
  if (answer.data.length === 0) return err('there are no keys\n');
  out(table(answer.data, keyColumns));
}

export const keyColumns: readonly Column<Key>[] = [
  { title: 'key', cell: ({ id }) => id },
  { title: 'state', cell: ({ status }) => status },
  { title: 'from', cell: ({ source }) => source },
  { title: 'models', cell: ({ models }) => models.join(',') },
  { title: 'priority', cell: ({ priority }) => priority },
  { title: 'limits', cell: limitsOf },
  { title: 'created', cell: ({ created_at }) => created_at && clock(created_at) },
  { title: 'expires', cell: ({ expires_at }) => expires_at && clock(expires_at) },
  { title: 'secrets', align: 'right', cell: ({ secrets }) => secrets.length },
];

function limitsOf({ limits }: Key): string | undefined {
  const { requestsPerMinute, tokensPerMinute, concurrent } = limits ?? {};
  const parts = [
    requestsPerMinute !== undefined && `${requestsPerMinute} requests/min`,
    tokensPerMinute !== undefined && `${tokensPerMinute} tokens/min`,
    concurrent !== undefined && `${concurrent} at a time`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? undefined : parts.join(', ');
}

export type NewKey = {
  models?: string[];
  ips?: string[];
  priority?: string;
  weight?: number;
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  concurrent?: number;
  expires?: string;
};

/** `keys create ID`: the secret alone is on standard output, so that a script can read it. */
export async function createKey(
  ingress: Ingress,
  io: Io,
  id: string,
  asked: NewKey,
): Promise<void> {
  const made = await ingress.post<KeyWithSecret>('/admin/keys', newKeyBody(id, asked));
  io.out(`${made.secret}\n`);
  io.err(`the key ${made.id} is valid; its secret is shown once\n`);
}

export function newKeyBody(
  id: string,
  { models, ips, priority, weight, expires, ...limits }: NewKey,
): Record<string, unknown> {
  const { requestsPerMinute, tokensPerMinute, concurrent } = limits;
  const given = { requestsPerMinute, tokensPerMinute, concurrent };
  const hasLimits = Object.values(given).some((value) => value !== undefined);
  return {
    id,
    models,
    ips,
    priority,
    weight,
    limits: hasLimits ? given : undefined,
    expires_at: expires,
  };
}

/** `keys rotate ID`. */
export async function rotateKey(
  ingress: Ingress,
  io: Io,
  id: string,
  { grace }: { grace?: string },
): Promise<void> {
  const rotated = await ingress.post<KeyWithSecret>(`${pathOf(id)}/rotate`, { grace });
  io.out(`${rotated.secret}\n`);
  const old = rotated.secrets.length - 1;
  const rest =
    old === 0
      ? 'no other secret is valid'
      : `${plural(old, 'older secret')} still valid for a while`;
  io.err(`the key ${rotated.id} has a new secret, which is shown once; ${rest}\n`);
}

/** `keys revoke ID`. */
export async function revokeKey(ingress: Ingress, { out }: Io, id: string): Promise<void> {
  const { id: revoked } = await ingress.remove<Key>(pathOf(id));
  out(`the key ${revoked} is revoked, and what is open with it ends\n`);
}
