import { clock } from '../../ui/format.ts';
import { Badge, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import { keyLimitText } from './targets.ts';
import type { Pool, ProviderKey } from './types.ts';

type Row = ProviderKey & { provider: string; worker: string };

const states: Readonly<Record<ProviderKey['state'], [tone: Tone, words: string]>> = {
  ready: ['good', 'ready'],
  limited: ['warn', 'at its limit'],
  set_aside: ['bad', 'set aside'],
};

/** The keys of the providers as each worker sees them: which are at their limits, which were refused. */
export function KeyRings({ pools }: { pools: readonly Pool[] }) {
  const rows = pools.flatMap(({ provider, worker, keys }) =>
    keys.map((key): Row => ({ ...key, provider, worker })),
  );
  if (rows.length === 0) return null;
  return (
    <Panel title="Provider keys" note="as each worker sees them">
      <Table<Row>
        label="Provider keys"
        rows={rows}
        keyOf={({ provider, worker, label }) => `${provider} ${worker} ${label}`}
        toneOf={({ state }) => (state === 'set_aside' ? 'bad' : undefined)}
        columns={[
          { title: 'Provider', cell: ({ provider }) => <code>{provider}</code> },
          { title: 'Key', cell: ({ label }) => label },
          { title: 'Worker', isMinor: true, cell: ({ worker }) => <code>{worker}</code> },
          {
            title: 'State',
            cell: ({ state }) => {
              const [tone, words] = states[state] ?? ['quiet', state];
              return <Badge tone={tone}>{words}</Badge>;
            },
          },
          { title: 'Until', isMinor: true, cell: (row) => clock(untilOf(row)) },
          {
            title: 'Limits',
            isMinor: true,
            cell: ({ limits }) => {
              const text = limits.map(keyLimitText).filter(Boolean).join('; ');
              return <span title={text}>{text}</span>;
            },
          },
        ]}
      />
    </Panel>
  );
}

/** When the key can be used for all its models again. */
const untilOf = ({ parked_until_at: parked, limits }: ProviderKey): string | null =>
  parked ??
  limits
    .map(({ closed_until_at: at }) => at)
    .filter((at) => at !== null)
    .toSorted()
    .at(-1) ??
  null;
