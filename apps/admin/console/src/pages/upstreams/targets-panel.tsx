import { serverNow } from '../../api/server-clock.ts';
import { call } from '../../api/client.ts';
import { usePoll } from '../../api/use-poll.ts';
import { ActionButton } from '../../ui/actions.tsx';
import { ago, clock, unknown } from '../../ui/format.ts';
import { Badge, Empty, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import { limitsOf, openQuestion, whyOf, worstFirst } from './targets.ts';
import type { ConfiguredTargets, Target } from './types.ts';

/** Milliseconds between two looks at the config's limits. */
const configEveryMs = 30_000;

const tones: Readonly<Record<string, Tone>> = {
  open: 'bad',
  'half-open': 'warn',
  recovering: 'warn',
  closed: 'good',
};

/** Each target with its breaker, and the orders to open and close it. */
export function TargetsPanel(props: { targets: readonly Target[]; refresh(): void }) {
  const { targets, refresh } = props;
  const config = usePoll<ConfiguredTargets>('config', configEveryMs);
  const areLimited = targets.some((one) => limitsOf(one, config.data) !== '');
  return (
    <Panel title="Targets" class="targets" note="open: no request goes there">
      <Table<Target>
        label="Targets"
        rows={worstFirst(targets)}
        keyOf={({ target }) => target}
        toneOf={({ state }) => (state === 'open' ? 'bad' : undefined)}
        empty={<Empty>The config has no model.</Empty>}
        columns={[
          {
            title: 'Target',
            width: '23%',
            cell: ({ target }) => <code title={target}>{target}</code>,
          },
          {
            title: 'Models',
            width: '17%',
            isMinor: true,
            cell: ({ aliases }) =>
              aliases.length === 0 ? (
                <span class="note">none any more</span>
              ) : (
                <span title={aliases.join(', ')}>{aliases.join(', ')}</span>
              ),
          },
          { title: 'State', width: '104px', cell: (row) => <State target={row} /> },
          {
            title: 'Why',
            isMinor: true,
            cell: (row) => <span title={whyOf(row)}>{whyOf(row)}</span>,
          },
          {
            title: 'Since',
            width: '86px',
            isMinor: true,
            isNumber: true,
            cell: ({ since, state }) =>
              since === null || state === 'closed' ? (
                unknown
              ) : (
                <span title={clock(since * 1000)}>{ago(since * 1000)}</span>
              ),
          },
          { title: 'Next probe', width: '104px', isMinor: true, isNumber: true, cell: nextProbe },
          ...(areLimited
            ? [
                {
                  title: 'Limits',
                  width: '14%',
                  isMinor: true,
                  cell: (row: Target) => {
                    const text = limitsOf(row, config.data);
                    return <span title={text}>{text || unknown}</span>;
                  },
                },
              ]
            : []),
          {
            title: 'Order',
            width: '92px',
            isAction: true,
            cell: (row) => <Order target={row} all={targets} refresh={refresh} />,
          },
        ]}
      />
    </Panel>
  );
}

function State({ target: { state, opened_by: by } }: { target: Target }) {
  if (state === null) return <Badge>not asked yet</Badge>;
  return (
    <span title={by === null ? undefined : `${state} by ${by}`}>
      <Badge tone={tones[state] ?? 'quiet'}>{state}</Badge>
    </span>
  );
}

function nextProbe({ next_probe_at: at, opened_by: by }: Target): string {
  if (by === 'operator') return 'when closed';
  if (at === null) return unknown;
  const seconds = Math.ceil(at - serverNow() / 1000);
  return seconds <= 0 ? 'now' : `in ${seconds} s`;
}

function Order(props: { target: Target; all: readonly Target[]; refresh(): void }) {
  const { target, all, refresh } = props;
  const isHeld = target.opened_by === 'operator';
  const give = (order: 'open' | 'close') => async () => {
    await call<Target>(`upstreams/${encodeURIComponent(target.target)}/${order}`, {
      method: 'POST',
    });
    refresh();
    return order === 'open'
      ? `No request goes to ${target.target}.`
      : `${target.target} takes requests again, unless its breaker is open.`;
  };
  return isHeld ? (
    <ActionButton act={give('close')}>Close</ActionButton>
  ) : (
    <ActionButton act={give('open')} confirm={openQuestion(target, all)}>
      Open
    </ActionButton>
  );
}
