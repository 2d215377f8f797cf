import { useLocation } from 'preact-iso';
import { useState } from 'preact/hooks';
import { queryOf } from '../../api/client.ts';
import type { RequestView } from '../../api/types.ts';
import { usePoll } from '../../api/use-poll.ts';
import { CodeBlock } from '../../ui/actions.tsx';
import { ago, bytes, count } from '../../ui/format.ts';
import { Answer, Empty, Figure, Figures, PageHead, Panel } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import type { Key } from '../keys/types.ts';
import { RecordPanel } from './record-panel.tsx';
import type { DebugRecord } from './records.ts';
import './debug.css';

/** Milliseconds between two looks. */
const everyMs = 5000;
/** Requests that the page offers. */
const offered = 20;

/** `GET /admin/debug`. */
type LogState = {
  files: number;
  bytes: number;
  waiting: number;
  dropped: number;
  max_waiting: number;
  problem: string | null;
};

/** Whole upstream calls: what was sent to a provider and what came back, piece by piece. */
export function DebugPage() {
  const { query } = useLocation();
  const state = usePoll<LogState>('debug', everyMs);
  const isOff = state.failure?.code === 'no_debug_log';
  const request = query['request'];
  return (
    <>
      <PageHead
        title="Debug log"
        lead="Whole upstream calls, prompts and answers included: of keys with debug: true, and of a sample of the other requests."
      />
      {isOff ? (
        <TurnOn />
      ) : (
        <>
          <Answer of={state} what="the state of the debug log">
            {(data) => <State of={data} />}
          </Answer>
          <Find request={request} key={request} />
          {request === undefined || request === '' ? (
            <Recorded keyId={query['key']} />
          ) : (
            <Records request={request} />
          )}
        </>
      )}
    </>
  );
}

const example = `debugLog: { dir: .millrace/debug, maxBytes: 1GiB, retention: 24h, sample: 0.01 }

keys:
  - id: team-a
    debug: true # all its requests; without it only the sample`;

const TurnOn = () => (
  <Panel title="This fleet keeps no debug log">
    <p>
      It is off by default, because it holds prompts and answers. To turn it on, add this to the
      config and restart the fleet. Then set <code>debug: true</code> at the keys whose requests you
      want to see: in the config, or on the page of a <a href="/admin/console/keys">created key</a>.
    </p>
    <div class="spaced">
      <CodeBlock text={example} />
    </div>
    <p class="note">
      <a href="/admin/console/config">The page of the config</a> checks a changed config before you
      use it. Everyone who may read the files, or this page, can read what the log holds.
    </p>
  </Panel>
);

function State({ of: state }: { of: LogState }) {
  return (
    <Panel>
      {state.problem !== null && (
        <p class="failure" role="alert">
          No record is written at the moment: {state.problem}
        </p>
      )}
      <Figures>
        <Figure
          label="On disk"
          value={bytes(state.bytes)}
          note={state.files === 1 ? 'one file' : `${count(state.files)} files`}
        />
        <Figure
          label="Waiting"
          value={count(state.waiting)}
          note={`of ${count(state.max_waiting)} that Redis holds`}
        />
        <Figure
          label="Dropped"
          tone={state.dropped > 0 ? 'warn' : 'quiet'}
          value={count(state.dropped)}
          note={state.dropped > 0 ? 'the log has gaps: it came faster than the disk' : 'no gaps'}
        />
      </Figures>
    </Panel>
  );
}

function Find({ request }: { request: string | undefined }) {
  const { route } = useLocation();
  const [typed, setTyped] = useState(request ?? '');
  return (
    <form
      class="filter-bar"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        route(`/admin/console/debug${queryOf({ request: typed.trim() })}`);
      }}
    >
      <input
        data-filter
        aria-label="The id of a request"
        placeholder="The id of a request: req_…"
        spellcheck={false}
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      <button type="submit" class="primary">
        Show its calls
      </button>
    </form>
  );
}

/** The newest requests of keys that are recorded, as a way in: the log itself has no list. */
function Recorded({ keyId }: { keyId: string | undefined }) {
  const keys = usePoll<{ data: Key[] }>(keyId === undefined ? 'keys' : undefined);
  const recorded = keys.data?.data.filter(({ debug }) => debug).map(({ id }) => id);
  const wanted = keyId ?? recorded?.filter((id) => !id.includes(',')).join(',');
  const requests = usePoll<{ data: RequestView[] }>(
    wanted === undefined || wanted === ''
      ? undefined
      : `requests${queryOf({ key: wanted, limit: offered })}`,
    everyMs,
  );
  if (wanted === '') {
    return (
      <Panel>
        <Empty>
          No key has <code>debug: true</code>, so only a sample of the requests is recorded. Open
          one by its id, or set <code>debug</code> at a <a href="/admin/console/keys">key</a>.
        </Empty>
      </Panel>
    );
  }
  if (wanted === undefined) return null;
  return (
    <Panel title="Newest requests of recorded keys" note={wanted.replaceAll(',', ', ')}>
      <Answer of={requests} what="requests">
        {({ data }) => (
          <Table<RequestView>
            label="Newest requests of recorded keys"
            rows={data}
            keyOf={({ id }) => id}
            hrefOf={({ id }) => `/admin/console/debug${queryOf({ request: id })}`}
            toneOf={({ status, rescues }) =>
              status === 'failed' ? 'bad' : rescues > 0 ? 'seam' : undefined
            }
            empty={<Empty>The ledger has no request of these keys.</Empty>}
            columns={[
              { title: 'Request', cell: ({ id }) => <code>{id}</code> },
              { title: 'Ended', cell: ({ ended_at }) => ago(ended_at) },
              { title: 'Key', cell: ({ key }) => key ?? '–' },
              { title: 'Model', cell: ({ model }) => model },
              { title: 'Status', cell: ({ status }) => status },
              {
                title: 'Calls',
                isNumber: true,
                cell: ({ attempts }) => count(attempts.length),
              },
            ]}
          />
        )}
      </Answer>
    </Panel>
  );
}

function Records({ request }: { request: string }) {
  const records = usePoll<{ data: DebugRecord[] }>(`requests/${encodeURIComponent(request)}/debug`);
  return (
    <>
      <p class="spaced">
        <a href="/admin/console/debug">All recorded keys</a> ·{' '}
        <a href={`/admin/console/requests/${encodeURIComponent(request)}`}>
          The request’s own page
        </a>
      </p>
      <Answer of={records} what="the calls">
        {({ data }) => (
          <>
            {data.map((record, index) => (
              <RecordPanel
                key={record.id}
                of={record}
                title={`Call ${index + 1} of ${data.length}`}
              />
            ))}
          </>
        )}
      </Answer>
    </>
  );
}
