import { call } from '../../api/client.ts';
import { usePoll } from '../../api/use-poll.ts';
import { ActionButton } from '../../ui/actions.tsx';
import { ago, clock } from '../../ui/format.ts';
import { Answer, Badge, PageHead, Panel } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import { CheckPanel } from './check-panel.tsx';
import { ConfigTree } from './config-tree.tsx';
import { usualHash } from './fields.ts';
import type { ConfigState, ProcessState } from './fields.ts';
import './config.css';

/** Milliseconds between two looks. */
const everyMs = 3000;

/** The config that runs, whether all processes use it, and what another one would change. */
export function ConfigPage() {
  const state = usePoll<ConfigState>('config', everyMs);
  const reload = async () => {
    const { agreed, pending } = await call<{ agreed: boolean; pending: string[] }>(
      'config/reload',
      { method: 'POST' },
    );
    state.refresh();
    if (pending.length > 0) return `These have not read their file yet: ${pending.join(', ')}.`;
    return agreed
      ? 'All processes have read their file, and use the same config.'
      : 'All processes have read their file, and do not agree: see below.';
  };
  return (
    <>
      <PageHead
        title="Config"
        lead="Every process takes over a changed file within two seconds, as a whole or not at all."
      >
        <ActionButton act={reload} title="Asks all processes to read their file now">
          Reload
        </ActionButton>
      </PageHead>
      <Answer of={state} what="the config">
        {(data) => (
          <>
            <Agreement of={data} />
            <Processes of={data.processes} />
          </>
        )}
      </Answer>
      {(state.data ?? state.failure) && <CheckPanel />}
      {state.data && <ConfigTree config={state.data.config} />}
    </>
  );
}

function Agreement({ of: { agreed, processes } }: { of: ConfigState }) {
  const hashes = new Set(processes.map(({ hash }) => hash));
  const refusing = processes.filter(({ problems }) => problems.length > 0);
  const restarting = processes.filter(({ needs_restart: fields }) => fields.length > 0);
  return (
    <>
      {!agreed && (
        <div class="banner" data-tone="bad" role="alert">
          <strong>The processes do not agree.</strong>{' '}
          {hashes.size > 1 && `They use ${hashes.size} different configs. `}
          {refusing.length > 0 &&
            `${names(refusing)} ${refusing.length === 1 ? 'refuses its' : 'refuse their'} file and ${refusing.length === 1 ? 'keeps' : 'keep'} the config from before.`}
        </div>
      )}
      {restarting.length > 0 && (
        <p class="restart">
          A changed field waits for a restart of {names(restarting)}:{' '}
          <code>
            {[...new Set(restarting.flatMap(({ needs_restart: fields }) => fields))].join(', ')}
          </code>
        </p>
      )}
    </>
  );
}

const names = (processes: readonly ProcessState[]): string =>
  processes.map(({ name }) => name).join(', ');

function Processes({ of: processes }: { of: readonly ProcessState[] }) {
  const usual = usualHash(processes);
  const refusing = processes.filter(({ problems }) => problems.length > 0);
  return (
    <Panel title="Processes" note="those with the same file have the same hash">
      <Table<ProcessState>
        label="Processes and the config that each uses"
        rows={processes}
        keyOf={({ name }) => name}
        toneOf={({ hash, problems }) => (problems.length > 0 || hash !== usual ? 'bad' : undefined)}
        columns={[
          { title: 'Process', cell: ({ name }) => name },
          {
            title: 'Config',
            cell: ({ hash }) => (
              <Badge tone={hash === usual ? 'good' : 'bad'}>
                <code>{hash}</code>
              </Badge>
            ),
          },
          {
            title: 'Since',
            cell: ({ since }) => <span title={clock(since * 1000)}>{ago(since * 1000)}</span>,
          },
          {
            title: 'File',
            cell: ({ problems, refused_at: at }) =>
              problems.length === 0 ? (
                <Badge tone="good">used</Badge>
              ) : (
                <Badge tone="bad">refused {at === null ? '' : ago(at * 1000)}</Badge>
              ),
          },
          {
            title: 'Waits for a restart',
            isMinor: true,
            cell: ({ needs_restart: fields }) => fields.join(', ') || 'nothing',
          },
          {
            title: 'Reported',
            isMinor: true,
            cell: ({ reported_at: at }) => ago(at * 1000),
          },
        ]}
      />
      {refusing.map(({ name, problems }) => (
        <div class="refused" key={name}>
          <h3>{name} refuses its file</h3>
          <ul>
            {problems.map((problem) => (
              <li key={problem}>
                <code>{problem}</code>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </Panel>
  );
}
