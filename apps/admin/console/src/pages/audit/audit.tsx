import { useLocation } from 'preact-iso';
import { useEffect, useState } from 'preact/hooks';
import { serverNow } from '../../api/server-clock.ts';
import { queryOf } from '../../api/client.ts';
import { usePoll } from '../../api/use-poll.ts';
import { CodeBlock, Dialog } from '../../ui/actions.tsx';
import { Field } from '../../ui/field.tsx';
import { ago, clock } from '../../ui/format.ts';
import { Answer, Badge, Empty, PageHead, Panel } from '../../ui/panel.tsx';
import { periods } from '../../ui/periods.ts';
import { Table } from '../../ui/table.tsx';
import { actions, summaryOf, targetLink } from './entries.ts';
import type { AuditEntry } from './entries.ts';
import './audit.css';

/** Rows of a page. */
const pageRows = 50;
/** Milliseconds between two looks at the newest entries; older pages do not change. */
const everyMs = 5000;

/** Who did what, how the config changed, and which keys were refused. The filters and the page stand in the URL. */
export function AuditPage() {
  const { query } = useLocation();
  const filter = {
    action: query['action'],
    actor: query['actor'],
    target: query['target'],
    format: undefined,
  };
  const period = periods.find(({ name }) => name === query['period']);
  const from = period ? `&from={ago:${period.seconds}}` : '';
  const cursor = query['cursor'];
  const asked = `audit${queryOf({ ...filter, cursor, limit: pageRows })}${from}`;
  const page = usePoll<{ data: AuditEntry[]; next: string | null }>(
    asked,
    cursor === undefined ? everyMs : undefined,
  );
  const state = { ...filter, period: query['period'] };
  const link = (more: Record<string, string | undefined>) =>
    `/admin/console/audit${queryOf({ ...state, ...more })}`;

  return (
    <>
      <PageHead
        title="Audit"
        lead="What operators did, how the config changed, and which keys were refused."
      >
        <Exports filter={filter} seconds={period?.seconds} />
      </PageHead>
      <Filters values={state} />
      <Panel>
        <Answer of={page} what="the audit log">
          {({ data, next }) => (
            <>
              <Entries rows={data} linkTo={(id) => link({ cursor, entry: id })} />
              <div class="pager" role="navigation" aria-label="Pages of the audit log">
                {cursor !== undefined && <a href={link({})}>Newest</a>}
                {next !== null && <a href={link({ cursor: next })}>Older</a>}
              </div>
              <Detail
                entry={data.find(({ id }) => id === query['entry'])}
                backTo={link({ cursor })}
              />
            </>
          )}
        </Answer>
      </Panel>
    </>
  );
}

function Exports(props: {
  filter: Record<string, string | undefined>;
  seconds: number | undefined;
}) {
  const { filter, seconds } = props;
  const from = seconds === undefined ? undefined : Math.floor(serverNow() / 1000) - seconds;
  return (
    <>
      {['csv', 'ndjson'].map((format) => (
        <a
          class="button"
          key={format}
          href={`/admin/audit${queryOf({ ...filter, from, format })}`}
          download={`audit.${format}`}
        >
          {format.toUpperCase()}
        </a>
      ))}
    </>
  );
}

/** The filters; the ones that are typed hold from Enter, or when the field is left. */
function Filters({ values }: { values: Record<string, string | undefined> }) {
  const { route } = useLocation();
  const [typed, setTyped] = useState({ actor: values['actor'], target: values['target'] });
  useEffect(
    () => setTyped({ actor: values['actor'], target: values['target'] }),
    [values['actor'], values['target']],
  );
  const set = (changed: Record<string, string | undefined>) =>
    route(`/admin/console/audit${queryOf({ ...values, ...typed, ...changed })}`);
  return (
    <form
      class="audit-filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        set({});
      }}
    >
      <Field label="Action">
        {(control) => (
          <select
            {...control}
            value={values['action'] ?? ''}
            onChange={(event) => set({ action: event.currentTarget.value })}
          >
            <option value="">all</option>
            {[...new Set([...actions, values['action'] ?? ''])]
              .filter((action) => action !== '')
              .map((action) => (
                <option key={action}>{action}</option>
              ))}
          </select>
        )}
      </Field>
      <Field label="Actor">
        {(control) => (
          <input
            {...control}
            value={typed.actor ?? ''}
            onInput={(event) => setTyped({ ...typed, actor: event.currentTarget.value })}
            onChange={() => set({})}
          />
        )}
      </Field>
      <Field label="Target">
        {(control) => (
          <input
            {...control}
            data-filter
            placeholder="a key, a process, a request …"
            value={typed.target ?? ''}
            onInput={(event) => setTyped({ ...typed, target: event.currentTarget.value })}
            onChange={() => set({})}
          />
        )}
      </Field>
      <Field label="Time">
        {(control) => (
          <select
            {...control}
            value={values['period'] ?? ''}
            onChange={(event) => set({ period: event.currentTarget.value })}
          >
            <option value="">all</option>
            {periods.map(({ name, title }) => (
              <option key={name} value={name}>
                last {title}
              </option>
            ))}
          </select>
        )}
      </Field>
      <button type="submit">Filter</button>
      <a class="button" href="/admin/console/audit">
        All entries
      </a>
    </form>
  );
}

const toneOf = (outcome: string) => (outcome === 'ok' ? 'good' : 'bad');

function Entries({ rows, linkTo }: { rows: readonly AuditEntry[]; linkTo(id: string): string }) {
  return (
    <Table<AuditEntry>
      label="Audit entries, newest first"
      rows={rows}
      keyOf={({ id }) => id}
      hrefOf={({ id }) => linkTo(id)}
      empty={<Empty>No entry matches.</Empty>}
      columns={[
        { title: 'Time', cell: ({ at }) => <span title={at}>{clock(at)}</span> },
        { title: 'Action', cell: ({ action }) => <code>{action}</code> },
        { title: 'Target', cell: ({ target }) => target ?? '–' },
        {
          title: 'Outcome',
          cell: ({ outcome }) => <Badge tone={toneOf(outcome)}>{outcome}</Badge>,
        },
        { title: 'Actor', cell: ({ actor }) => actor },
        { title: 'Address', isMinor: true, cell: ({ address }) => address ?? '–' },
        { title: 'Detail', isMinor: true, cell: summaryOf },
      ]}
    />
  );
}

function Detail({ entry, backTo }: { entry: AuditEntry | undefined; backTo: string }) {
  const { route } = useLocation();
  if (!entry) return null;
  const target = targetLink(entry);
  return (
    <Dialog title={entry.action} class="wide" onClose={() => route(backTo)}>
      <dl class="facts">
        <dt>Time</dt>
        <dd>
          {entry.at} ({ago(entry.at)})
        </dd>
        <dt>Actor</dt>
        <dd>
          {entry.actor}
          {entry.address !== null && ` from ${entry.address}`}
        </dd>
        <dt>Target</dt>
        <dd>
          {target === undefined ? (entry.target ?? '–') : <a href={target}>{entry.target}</a>}
        </dd>
        <dt>Outcome</dt>
        <dd>
          <Badge tone={toneOf(entry.outcome)}>{entry.outcome}</Badge>
        </dd>
        <dt>Entry</dt>
        <dd>
          <code>{entry.id}</code>
        </dd>
      </dl>
      {entry.detail !== null && <CodeBlock text={JSON.stringify(entry.detail, null, 2)} />}
      <div class="actions">
        <button type="button" class="primary" onClick={() => route(backTo)}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
