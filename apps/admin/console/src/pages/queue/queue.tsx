import { serverNow } from '../../api/server-clock.ts';
import { usePoll } from '../../api/use-poll.ts';
import { ago, count, duration, shortId, unknown } from '../../ui/format.ts';
import { Meter } from '../../ui/meter.tsx';
import { Answer, Empty, Figure, Figures, PageHead, Panel } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import type { QueueAnswer, Waiting } from './types.ts';
import './queue.css';

const everyMs = 1000;
/** Requests of the list, by their position. */
const most = 200;

/** Who waits, and why. */
export function Queue() {
  const queue = usePoll<QueueAnswer>(`queue?limit=${most}`, everyMs);
  return (
    <>
      <PageHead
        title="Queue"
        lead="The requests that no worker runs yet, and why each of them waits."
      >
        <a class="button" href="/admin/console/board">
          Bull Board
        </a>
      </PageHead>
      <Answer of={queue} what="the queue">
        {(data) => (
          <>
            <Paused queue={data} />
            <QueueFigures queue={data} />
            {data.by_key.length > 0 && <Keys queue={data} />}
            <WaitingList queue={data} />
          </>
        )}
      </Answer>
    </>
  );
}

function Paused({ queue: { paused_shards: paused, waiting } }: { queue: QueueAnswer }) {
  if (paused.length === 0) return null;
  return (
    <p class="banner" data-tone="bad" role="status">
      <strong>The queue is paused</strong>{' '}
      {paused.length === 1 ? `(shard ${paused[0]})` : `(shards ${paused.join(', ')})`}: no worker
      takes a request. {waiting > 0 && `${count(waiting)} wait. `}
      <a href="/admin/console/board">Resume it in Bull Board</a>, where <code>board: remove</code>{' '}
      allows it.
    </p>
  );
}

const classes = ['high', 'normal', 'low'] as const;

function QueueFigures({ queue }: { queue: QueueAnswer }) {
  const { waiting, oldest_ms, by_class, fairness } = queue;
  return (
    <Panel>
      <Figures>
        <Figure
          label="Waiting"
          tone={waiting > 0 ? 'warn' : 'good'}
          value={count(waiting)}
          note={oldest_ms === null ? 'no request waits' : `the oldest for ${duration(oldest_ms)}`}
        />
        {classes.map((name) => (
          <Figure
            key={name}
            label={`Priority ${name}`}
            tone="quiet"
            value={count(by_class[name] ?? 0)}
          />
        ))}
        <Figure
          label="Fairness"
          tone={fairness === null ? 'quiet' : fairness < 0.6 ? 'warn' : 'good'}
          value={fairness === null ? unknown : fairness.toFixed(2)}
          note={fairness === null ? 'fewer than two keys' : '1: all keys get the same'}
        />
      </Figures>
    </Panel>
  );
}

/** Keys of the list. */
const mostKeys = 50;

function Keys({ queue: { by_key: keys, waiting } }: { queue: QueueAnswer }) {
  return (
    <Panel
      title="By key"
      note={keys.length > mostKeys ? `the first ${mostKeys} of ${count(keys.length)}` : undefined}
    >
      <Table<QueueAnswer['by_key'][number]>
        label="Waiting requests by key"
        rows={keys.slice(0, mostKeys)}
        keyOf={({ key }) => key ?? ''}
        columns={[
          { title: 'Key', cell: ({ key }) => key ?? <span class="note">without a key</span> },
          {
            title: 'Share of the queue',
            isMinor: true,
            cell: (row) => (
              <Meter
                label={`Share of ${row.key ?? 'requests without a key'}`}
                share={waiting > 0 ? row.waiting / waiting : 0}
              />
            ),
          },
          { title: 'Waiting', isNumber: true, cell: (row) => count(row.waiting) },
          { title: 'Running', isNumber: true, cell: ({ running }) => count(running) },
          {
            title: 'Oldest',
            isNumber: true,
            cell: ({ oldest_ms }) => duration(oldest_ms),
          },
        ]}
      />
    </Panel>
  );
}

function WaitingList({ queue: { data, truncated, waiting } }: { queue: QueueAnswer }) {
  return (
    <Panel
      title="Waiting requests"
      class="waiting-list"
      note={truncated ? `the first ${count(data.length)} of ${count(waiting)}` : undefined}
    >
      <Table<Waiting>
        label="Waiting requests"
        rows={data}
        keyOf={({ id }) => id}
        hrefOf={({ id }) => `/admin/console/requests/${encodeURIComponent(id)}`}
        empty={<Empty>No request waits.</Empty>}
        columns={[
          { title: 'Place', cell: ({ position }) => count(position + 1) },
          {
            title: 'Request',
            isMinor: true,
            cell: ({ id }) => <code title={id}>{shortId(id)}</code>,
          },
          { title: 'Key', isMinor: true, cell: ({ key }) => key ?? unknown },
          { title: 'Priority', isMinor: true, cell: (row) => row.class },
          { title: 'Model', cell: ({ model }) => <span title={model}>{model}</span> },
          {
            title: 'Waits',
            isNumber: true,
            cell: ({ waiting_ms }) => duration(waiting_ms),
          },
          {
            title: 'Deadline',
            isMinor: true,
            cell: ({ deadline_at: at }) => (at === null ? unknown : until(at)),
          },
          {
            title: 'Why',
            cell: ({ reason }) => <span title={reason}>{reason}</span>,
          },
        ]}
      />
    </Panel>
  );
}

function until(at: string): string {
  const left = Date.parse(at) - serverNow();
  return left > 0 ? `in ${duration(left)}` : ago(at);
}
