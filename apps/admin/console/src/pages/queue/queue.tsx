import { serverNow } from '../../api/server-clock.ts';
import { call } from '../../api/client.ts';
import { usePoll } from '../../api/use-poll.ts';
import { useSession } from '../../shell/login.tsx';
import { ActionButton } from '../../ui/actions.tsx';
import { ago, count, duration, plural, shortId, unknown } from '../../ui/format.ts';
import { Meter } from '../../ui/meter.tsx';
import { Answer, Empty, Figure, Figures, PageHead, Panel } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import type { QueueAnswer, Waiting } from './types.ts';
import './queue.css';

const everyMs = 1000;
/** Milliseconds for which the control plane answers with the same look at the fleet. */
const sharedLookMs = 550;
/** Requests of the list, by their position. */
const most = 200;

/** Which requests wait, and why; an operator can pause the queue if the config allows it. */
export function Queue() {
  const session = useSession();
  const queue = usePoll<QueueAnswer>(`queue?limit=${most}`, everyMs);
  return (
    <>
      <PageHead
        title="Queue"
        lead="The requests that no worker runs yet, and why each of them waits."
      >
        {session?.board === 'remove' && queue.data && (
          <PauseButton isPaused={queue.data.paused_shards.length > 0} refresh={queue.refresh} />
        )}
        <a class="button" href="/admin/console/board">
          Bull Board
        </a>
      </PageHead>
      <Answer of={queue} what="the queue">
        {(data) => (
          <>
            <Paused queue={data} canResume={session?.board === 'remove'} />
            <QueueFigures queue={data} />
            {data.by_key.length > 0 && <Keys queue={data} />}
            <WaitingList queue={data} />
            {session?.board === 'read-only' && (
              <p class="note">
                To pause the queue here, or to remove requests in Bull Board, set{' '}
                <code>board: remove</code> in the config and restart the fleet. To stop one worker
                from taking requests, drain it on the page <a href="/admin/console/fleet">Fleet</a>.
              </p>
            )}
          </>
        )}
      </Answer>
    </>
  );
}

/** Pauses or resumes the queue of all shards. */
function PauseButton({ isPaused, refresh }: { isPaused: boolean; refresh(): void }) {
  const give = (order: 'pause' | 'resume') => async () => {
    // Bull Board has the orders; `board: remove` allows them.
    await call(`queues/api/queues/${order}`, { method: 'PUT' });
    // All who look at the queue within half a second share one look, which may be from before the order.
    await new Promise((resolve) => setTimeout(resolve, sharedLookMs));
    refresh();
    return order === 'pause' ? 'The queue is paused.' : 'The queue is resumed.';
  };
  return isPaused ? (
    <ActionButton tone="primary" act={give('resume')}>
      Resume the queue
    </ActionButton>
  ) : (
    <ActionButton
      act={give('pause')}
      confirm="No worker takes a request until the queue is resumed: new requests wait, then fail. Those that run go on."
    >
      Pause the queue
    </ActionButton>
  );
}

function Paused(props: { queue: QueueAnswer; canResume: boolean }) {
  const { paused_shards: paused, waiting } = props.queue;
  if (paused.length === 0) return null;
  return (
    <p class="banner" data-tone="bad" role="status">
      <strong>The queue is paused</strong>{' '}
      {paused.length === 1 ? `(shard ${paused[0]})` : `(shards ${paused.join(', ')})`}: no worker
      takes a request. {waiting > 0 && `${plural(waiting, 'request')} in the queue. `}
      {!props.canResume && (
        <>
          To resume it here, set <code>board: remove</code> in the config and restart the fleet.
        </>
      )}
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
