import { call } from '../../api/client.ts';
import { usePoll } from '../../api/use-poll.ts';
import { ActionButton } from '../../ui/actions.tsx';
import { clock, duration } from '../../ui/format.ts';
import { Answer, Badge, Loading, PageHead, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import { FleetFigures, RedisPanel } from './fleet-figures.tsx';
import { drainQuestion, loadOf, rowsOf } from './rows.ts';
import type { Row } from './rows.ts';
import type { ConfigAnswer, FleetAnswer, Process } from './types.ts';

/** Milliseconds between two looks: processes announce themselves every five seconds, drains are shown at once. */
const everyMs = 2000;
const configEveryMs = 5000;

/** The processes of the fleet, what they do, and the orders to drain and resume them. */
export function Fleet() {
  const fleet = usePoll<FleetAnswer>('fleet', everyMs);
  const config = usePoll<ConfigAnswer>('config', configEveryMs);
  return (
    <>
      <PageHead title="Fleet" lead="The processes of this fleet and the Redis that they share." />
      <Answer of={fleet} what="the fleet">
        {(data) => {
          // The table's columns would move when the configs come.
          if (!config.data && !config.failure) return <Loading what="the configs" />;
          const rows = rowsOf(data, config.data);
          return (
            <>
              <FleetFigures fleet={data} rows={rows} agreed={config.data?.agreed} />
              <Processes rows={rows} refresh={fleet.refresh} />
              <RedisPanel fleet={data} />
            </>
          );
        }}
      </Answer>
    </>
  );
}

const roles = { ingress: 'ingress', worker: 'worker', admin: 'control plane' };

function Processes({ rows, refresh }: { rows: readonly Row[]; refresh(): void }) {
  return (
    <Panel title="Processes">
      <Table<Row>
        label="Processes"
        rows={rows}
        keyOf={({ name }) => name}
        toneOf={({ listening, problems }) =>
          !listening || problems.length > 0 ? 'bad' : undefined
        }
        columns={[
          {
            title: 'Process',
            // Its name begins with its role.
            cell: ({ name, role }) => <code title={roles[role]}>{name}</code>,
          },
          { title: 'Stage', cell: (row) => <Stage process={row} /> },
          { title: 'Load', isMinor: true, cell: (row) => loadOf(row) },
          {
            title: 'Uptime',
            isNumber: true,
            isMinor: true,
            cell: ({ uptime_s, started_at }) => (
              <span title={`since ${clock(started_at)}`}>{duration(uptime_s * 1000)}</span>
            ),
          },
          {
            title: 'Version',
            isMinor: true,
            cell: ({ version, isOtherVersion }) =>
              isOtherVersion ? <Badge tone="warn">{version}</Badge> : version,
          },
          { title: 'Config', isMinor: true, cell: (row) => <ConfigState row={row} /> },
          {
            title: 'Host',
            isMinor: true,
            cell: ({ host, pid }) => (
              <>
                {host} <span class="note">pid {pid}</span>
              </>
            ),
          },
          {
            title: 'Order',
            isAction: true,
            cell: (row) => <Order row={row} rows={rows} refresh={refresh} />,
          },
        ]}
      />
    </Panel>
  );
}

const stageTones: Record<Process['stage'], Tone> = {
  serving: 'good',
  draining: 'warn',
  stopping: 'quiet',
};

function Stage({ process: { stage, listening } }: { process: Process }) {
  if (!listening && stage !== 'stopping') return <Badge tone="bad">not listening</Badge>;
  return <Badge tone={stageTones[stage]}>{stage === 'draining' ? 'drained' : stage}</Badge>;
}

function ConfigState({ row }: { row: Row }) {
  const { hash, differs, problems, needsRestart } = row;
  if (hash === undefined) return <span class="note">not known</span>;
  const notes = [
    ...(problems.length > 0 ? ['refuses its file'] : []),
    ...(needsRestart.length > 0 ? ['needs a restart'] : []),
  ];
  return (
    <span title={[...problems, ...needsRestart].join('\n')}>
      {differs ? <Badge tone="warn">{hash}</Badge> : <code>{hash}</code>}{' '}
      {notes.length > 0 && <a href="/admin/console/config">{notes.join(', ')}</a>}
    </span>
  );
}

function Order(props: { row: Row; rows: readonly Row[]; refresh(): void }) {
  const { row, rows, refresh } = props;
  if (row.role === 'admin' || row.stage === 'stopping' || !row.listening) return null;
  const give = (order: 'drain' | 'resume') => async () => {
    const { stage } = await call<Process>(`fleet/${encodeURIComponent(row.name)}/${order}`, {
      method: 'POST',
    });
    refresh();
    if (order === 'drain') {
      return stage === 'draining'
        ? `${row.name} takes no new requests.`
        : `${row.name} has the order, and will follow it.`;
    }
    return stage === 'serving'
      ? `${row.name} serves again.`
      : `${row.name} has the order to serve again.`;
  };
  if (row.stage === 'draining') {
    return <ActionButton act={give('resume')}>Resume</ActionButton>;
  }
  return (
    <ActionButton act={give('drain')} confirm={drainQuestion(row, rows)}>
      Drain
    </ActionButton>
  );
}
