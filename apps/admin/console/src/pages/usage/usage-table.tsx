import { queryOf } from '../../api/client.ts';
import { Cost } from '../../ui/cost.tsx';
import { count, percent } from '../../ui/format.ts';
import { Empty } from '../../ui/panel.tsx';
import type { Period } from '../../ui/periods.ts';
import { Table } from '../../ui/table.tsx';
import { termOf } from '../requests/filter.ts';
import type { FilterName } from '../requests/filter.ts';
import { nameOf, sorted } from './rows.ts';
import type { Grouping, UsageRow } from './rows.ts';

/** Groupings that the list of requests can be filtered by. */
const filters: Partial<Record<Grouping, FilterName>> = {
  key: 'key',
  user: 'user',
  model: 'model',
  provider: 'provider',
  status: 'status',
};

function hrefOf(row: UsageRow, grouping: Grouping, period: Period): string | undefined {
  const field = filters[grouping];
  const value = row[grouping];
  if (field === undefined || value === null || value === undefined || value.includes('"')) {
    return undefined;
  }
  return `/admin/console/requests${queryOf({ q: `${termOf(field, value)} last:${period.name}` })}`;
}

const titles: Partial<Record<Grouping, string>> = {
  key: 'Key',
  user: 'User',
  model: 'Model',
  provider: 'Provider',
  status: 'Status',
  hour: 'Hour',
  day: 'Day',
};

export function UsageTable(props: {
  rows: readonly UsageRow[];
  grouping: Grouping;
  period: Period;
}) {
  const { rows, grouping, period } = props;
  const total = rows.reduce((sum, { cost }) => sum + (cost ?? 0), 0);
  return (
    <Table<UsageRow>
      label={`Usage by ${grouping}`}
      rows={sorted(rows, grouping)}
      keyOf={(row) => String(row[grouping])}
      hrefOf={(row) => hrefOf(row, grouping, period)}
      empty={<Empty>Nothing was used.</Empty>}
      columns={[
        { title: titles[grouping] ?? grouping, cell: (row) => timeOrName(row, grouping) },
        { title: 'Cost', isNumber: true, cell: (row) => <Cost {...row} /> },
        {
          title: 'Share',
          isMinor: true,
          cell: ({ cost }) => <Share of={total === 0 ? 0 : (cost ?? 0) / total} />,
        },
        { title: 'Requests', isNumber: true, cell: ({ requests }) => count(requests) },
        { title: 'Failed', isNumber: true, isMinor: true, cell: ({ failed }) => count(failed) },
        { title: 'Rescued', isNumber: true, isMinor: true, cell: ({ rescued }) => count(rescued) },
        { title: 'Input', isNumber: true, cell: ({ input_tokens: tokens }) => count(tokens) },
        {
          title: 'Cached',
          isNumber: true,
          isMinor: true,
          cell: ({ cached_tokens: tokens }) => count(tokens),
        },
        { title: 'Output', isNumber: true, cell: ({ output_tokens: tokens }) => count(tokens) },
        { title: 'Estimated or unpriced', cell: unsure },
      ]}
    />
  );
}

function timeOrName(row: UsageRow, grouping: Grouping): string {
  const name = nameOf(row, grouping);
  return grouping === 'hour' ? name.slice(0, 16).replace('T', ' ') : name;
}

/** How many requests the cost or the tokens of a row are unsure of. */
function unsure({ unpriced, estimated }: UsageRow) {
  if (unpriced === 0 && estimated === 0) return <span class="note">–</span>;
  const texts = [
    unpriced > 0 && `${count(unpriced)} unpriced`,
    estimated > 0 && `${count(estimated)} estimated`,
  ];
  return <span class="marked">{texts.filter((text) => text !== false).join(', ')}</span>;
}

const Share = ({ of: share }: { of: number }) => (
  <span class="share" title={percent(share)}>
    <span style={{ width: `${Math.round(share * 100)}%` }} />
  </span>
);
