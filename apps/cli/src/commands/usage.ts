import type { Ingress } from '../http/ingress.ts';
import type { Io } from '../io.ts';
import { money } from '../output/format.ts';
import { table } from '../output/table.ts';
import type { Column } from '../output/table.ts';
import { filterQuery } from './requests.ts';
import type { Filters } from './requests.ts';

export type UsageRow = Record<string, string | null> & {
  requests: number;
  failed: number;
  rescued: number;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  cost: number | null;
  unpriced: number;
};

export type UsageOptions = Filters & { by?: string; json?: true; csv?: true };

/** `usage`: sums, by group. */
export async function usage(
  ingress: Ingress,
  { out, err, pour }: Io,
  { by, json, csv, ...filters }: UsageOptions,
): Promise<void> {
  const query = { ...filterQuery(filters), group_by: by };
  if (csv) return ingress.download('/admin/usage', { ...query, format: 'csv' }, pour);
  const answer = await ingress.getJson<{ data: UsageRow[] }>('/admin/usage', query);
  if (json) return out(`${JSON.stringify(answer, null, 2)}\n`);
  if (answer.data.length === 0) return err('no request has ended that these filters let through\n');
  out(table(answer.data, usageColumns(by?.split(',') ?? [])));
}

export const usageColumns = (groups: readonly string[]): Column<UsageRow>[] => [
  ...groups.map((group) => ({ title: group, cell: (row: UsageRow) => row[group] })),
  ...counted.map(([title, name]) => ({
    title,
    align: 'right' as const,
    cell: (row: UsageRow) => row[name],
  })),
  { title: 'USD', align: 'right', cell: ({ cost }) => money(cost) },
];

const counted = [
  ['requests', 'requests'],
  ['failed', 'failed'],
  ['rescued', 'rescued'],
  ['tokens in', 'input_tokens'],
  ['cached', 'cached_tokens'],
  ['out', 'output_tokens'],
  ['unpriced', 'unpriced'],
] as const;
