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
  budget_use: BudgetUse[];
  created_at: string | null;
  expires_at: string | null;
  secrets: { created_at: string | null; valid_until: string | null }[];
};

/** What was used of one amount of a budget; `reserved` by requests that the ledger does not have yet. */
export type BudgetUse = {
  per: string;
  unit: string;
  limit: number;
  spent: number;
  reserved: number;
  renews_at: string;
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
  { title: 'budgets', cell: budgetsOf },
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

/** `12.5 (+0.4 reserved) of 50 USD until 2026-12-01T00:00:00Z`, for each amount. */
function budgetsOf({ budget_use: uses }: Key): string | undefined {
  const parts = uses.map(({ unit, limit, spent, reserved, renews_at: renewal }) => {
    const underWay = reserved === 0 ? '' : ` (+${reserved} reserved)`;
    return `${spent}${underWay} of ${limit} ${unit} until ${clock(renewal)}`;
  });
  return parts.length === 0 ? undefined : parts.join(', ');
}

export type NewKey = {
  models?: string[];
  ips?: string[];
  priority?: string;
  weight?: number;
  debug?: boolean;
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  concurrent?: number;
  expires?: string;
  budgetDay?: number;
  budgetMonth?: number;
  tokensPerDay?: number;
  tokensPerMonth?: number;
};

/** `false`: the key has none any more. */
export type KeyChange = NewKey & { budget?: boolean; limits?: boolean };

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

/** `keys update ID`. */
export async function updateKey(
  ingress: Ingress,
  { out }: Io,
  id: string,
  asked: KeyChange,
): Promise<void> {
  const { id: changed } = await ingress.patch<Key>(pathOf(id), changeBody(asked));
  out(`the key ${changed} is changed, from its next request on\n`);
}

export const newKeyBody = (id: string, asked: NewKey): Record<string, unknown> => ({
  id,
  ...changeBody(asked),
});

export function changeBody(asked: KeyChange): Record<string, unknown> {
  const { models, ips, priority, weight, debug, expires } = asked;
  const { requestsPerMinute, tokensPerMinute, concurrent } = asked;
  const { budgetDay: day, budgetMonth: month, tokensPerDay, tokensPerMonth } = asked;
  const limits = someOf({ requestsPerMinute, tokensPerMinute, concurrent });
  const budget = someOf({ day, month, tokensPerDay, tokensPerMonth });
  return {
    models,
    ips,
    priority,
    weight,
    debug,
    limits: asked.limits === false ? null : limits,
    budget: asked.budget === false ? null : budget,
    expires_at: expires,
  };
}

const someOf = <T extends object>(fields: T): T | undefined =>
  Object.values(fields).some((value) => value !== undefined) ? fields : undefined;

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
