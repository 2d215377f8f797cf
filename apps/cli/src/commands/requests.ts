import type { Ingress, Query } from '../http/ingress.ts';
import type { Io } from '../io.ts';
import { clock, milliseconds, money } from '../output/format.ts';
import { oneLine, table } from '../output/table.ts';
import type { Column } from '../output/table.ts';

export type Filters = {
  from?: string;
  to?: string;
  key?: string;
  user?: string;
  session?: string;
  model?: string;
  provider?: string;
  status?: string;
  error?: string;
};

type Tokens = { input_tokens: number; output_tokens: number; estimated: boolean };

export type RequestRow = {
  id: string;
  created_at: string;
  key: string | null;
  user: string | null;
  model: string;
  status: string;
  error: { code: string | null; message: string } | null;
  provider: string | null;
  target_model: string | null;
  queue_ms: number | null;
  first_token_ms: number | null;
  duration_ms: number;
  rescues: number;
  usage: Tokens;
  cost: number | null;
};

type WholeRequest = RequestRow & {
  events: { at: string; event: string; attempt?: number; detail?: string }[];
};

const shown = 20;

export const filterQuery = ({
  from,
  to,
  key,
  user,
  session,
  model,
  provider,
  status,
  error,
}: Filters): Query => ({
  from,
  to,
  key,
  user,
  session,
  model,
  provider,
  status,
  error,
});

export type RequestsOptions = Filters & {
  search?: string;
  limit?: number;
  cursor?: string;
  json?: true;
  csv?: true;
};

/** `requests`: a list. */
export async function requests(
  ingress: Ingress,
  { out, err, pour }: Io,
  { limit = shown, cursor, search, json, csv, ...filters }: RequestsOptions,
): Promise<void> {
  const query = { ...filterQuery(filters), q: search };
  if (csv) return ingress.download('/admin/requests', { ...query, format: 'csv' }, pour);
  const page = await ingress.getJson<{ data: RequestRow[]; next: string | null }>(
    '/admin/requests',
    { ...query, limit, cursor },
  );
  if (json) return out(`${JSON.stringify(page, null, 2)}\n`);
  if (page.data.length === 0) return err('no request has ended that these filters let through\n');
  out(table(page.data, requestColumns));
  if (page.next !== null) err(`more: --cursor ${page.next}\n`);
}

const ms = (value: number | null) => (value === null ? null : Math.round(value));

export const requestColumns: readonly Column<RequestRow>[] = [
  { title: 'created', cell: ({ created_at }) => clock(created_at) },
  { title: 'id', cell: ({ id }) => id },
  {
    title: 'status',
    cell: ({ status, error }) => (error?.code ? `${status} ${error.code}` : status),
  },
  { title: 'key', cell: ({ key }) => key },
  { title: 'model', cell: ({ model }) => model },
  { title: 'answered by', cell: answeredBy },
  { title: 'queue ms', align: 'right', cell: ({ queue_ms }) => ms(queue_ms) },
  { title: 'first ms', align: 'right', cell: ({ first_token_ms }) => ms(first_token_ms) },
  { title: 'all ms', align: 'right', cell: ({ duration_ms }) => ms(duration_ms) },
  { title: 'rescues', align: 'right', cell: ({ rescues }) => rescues },
  { title: 'tokens in', align: 'right', cell: ({ usage }) => usage.input_tokens },
  { title: 'out', align: 'right', cell: ({ usage }) => usage.output_tokens },
  { title: 'USD', align: 'right', cell: ({ cost }) => money(cost) },
];

function answeredBy({ provider, target_model }: RequestRow): string | null {
  return provider === null ? null : `${provider}/${target_model ?? '?'}`;
}

/** `requests ID`: one request, with what happened to it. */
export async function request(
  ingress: Ingress,
  { out }: Io,
  id: string,
  { json }: { json?: true },
): Promise<void> {
  const found = await ingress.getJson<WholeRequest>(`/admin/requests/${encodeURIComponent(id)}`);
  out(json ? `${JSON.stringify(found, null, 2)}\n` : requestText(found));
}

export function requestText(one: WholeRequest): string {
  const { usage, error, cost } = one;
  const facts: [string, string | null][] = [
    ['id', one.id],
    ['status', one.status],
    ['error', error && `${error.code ?? ''} ${error.message}`.trim()],
    ['key', one.key],
    ['user', one.user],
    ['model', one.model],
    ['answered by', answeredBy(one)],
    ['took', milliseconds(one.duration_ms)],
    [
      'tokens',
      `${usage.input_tokens} in, ${usage.output_tokens} out${usage.estimated ? ' (estimated)' : ''}`,
    ],
    ['cost', cost === null ? 'unknown: no price is known for a target' : `${money(cost)} USD`],
  ];
  const lines = facts.flatMap(([name, value]) =>
    value === null ? [] : [`${name.padEnd(12)} ${oneLine(value)}\n`],
  );
  const events = table(one.events, [
    { title: 'time', cell: ({ at }) => at },
    { title: 'event', cell: ({ event }) => event },
    { title: 'attempt', align: 'right', cell: ({ attempt }) => attempt ?? '' },
    { title: 'detail', cell: ({ detail }) => detail ?? '' },
  ]);
  return `${lines.join('')}\n${events}`;
}
