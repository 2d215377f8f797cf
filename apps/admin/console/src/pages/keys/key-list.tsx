import { useLocation } from 'preact-iso';
import { useState } from 'preact/hooks';
import { usePoll } from '../../api/use-poll.ts';
import { Cost } from '../../ui/cost.tsx';
import { count, unknown } from '../../ui/format.ts';
import { Answer, Badge, Empty, PageHead, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { useQueryState } from '../../ui/query-state.ts';
import { Table } from '../../ui/table.tsx';
import { BudgetCell } from './budget-use.tsx';
import { KeyForm } from './key-form.tsx';
import './keys.css';
import { FirstKeyDialog, LockedPanel, useHasAdmin } from './no-admin.tsx';
import { SecretDialog } from './secret-dialog.tsx';
import type { Key, KeyWithSecret } from './types.ts';
import { useAliases } from './use-aliases.ts';

/** Milliseconds between two looks: what is used of budgets changes with the requests. */
const everyMs = 5000;
const usageEveryMs = 30_000;

export type KeyUsage = {
  key: string | null;
  requests: number;
  cost: number | null;
  unpriced: number;
  estimated: number;
};

export const statusTones: Record<Key['status'], Tone> = {
  valid: 'good',
  expired: 'warn',
  revoked: 'bad',
  shadowed: 'warn',
};

export const keyPath = (id: string): string => `/admin/console/keys/${encodeURIComponent(id)}`;

/** All API keys: those of the config, and those that operators created. */
export function KeyList() {
  const { route } = useLocation();
  const keys = usePoll<{ data: Key[] }>('keys', everyMs);
  const usage = usePoll<{ data: KeyUsage[] }>('usage?group_by=key&from={ago:86400}', usageEveryMs);
  const aliases = useAliases();
  const [filter, setFilter] = useQueryState('q');
  const [ended, setEnded] = useQueryState('ended');
  const [isCreating, setCreating] = useState(false);
  const [isWarned, setWarned] = useState(false);
  const [created, setCreated] = useState<KeyWithSecret>();
  const hasKeys = keys.data !== undefined && keys.data.data.length > 0;
  const hasAdmin = useHasAdmin();
  const isLocked = hasAdmin === false && hasKeys;
  const isFirst = hasAdmin === false && !hasKeys;

  return (
    <>
      <PageHead
        title="Keys"
        lead="What clients show to be served, and what each of them may do. Keys of the config are changed there."
      >
        <button
          type="button"
          class="primary"
          disabled={isLocked || keys.data === undefined}
          title={isLocked ? 'The config has no admin' : undefined}
          onClick={() => (isFirst ? setWarned(true) : setCreating(true))}
        >
          Create a key
        </button>
      </PageHead>
      {isLocked && <LockedPanel />}
      <div class="filter-bar">
        <input
          data-filter
          type="search"
          aria-label="Filter by id or model"
          placeholder="Id or model"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={ended === 'shown'}
            onChange={(event) => setEnded(event.currentTarget.checked ? 'shown' : '')}
          />
          Revoked and expired ones
        </label>
      </div>
      <Answer of={keys} what="the keys">
        {({ data }) => (
          <Panel class="key-table">
            <KeyTable
              rows={data.filter((key) => isShown(key, filter, ended === 'shown'))}
              all={data.length}
              usage={usage.data?.data}
            />
          </Panel>
        )}
      </Answer>
      {isWarned && (
        <FirstKeyDialog
          onClose={() => setWarned(false)}
          onGoOn={() => {
            setWarned(false);
            setCreating(true);
          }}
        />
      )}
      {isCreating && (
        <KeyForm
          aliases={aliases}
          onClose={() => setCreating(false)}
          onDone={(key) => {
            setCreating(false);
            setCreated(key as KeyWithSecret);
            keys.refresh();
          }}
        />
      )}
      {created && (
        <SecretDialog
          of={created}
          onClose={() => {
            setCreated(undefined);
            route(keyPath(created.id));
          }}
        />
      )}
    </>
  );
}

function isShown(key: Key, filter: string, showsEnded: boolean): boolean {
  if (!showsEnded && (key.status === 'revoked' || key.status === 'expired')) return false;
  const wanted = filter.trim().toLowerCase();
  return [key.id, ...key.models].some((text) => text.toLowerCase().includes(wanted));
}

function KeyTable(props: {
  rows: readonly Key[];
  all: number;
  usage: readonly KeyUsage[] | undefined;
}) {
  const used = new Map(props.usage?.map((one) => [one.key, one]));
  return (
    <Table<Key>
      label="API keys"
      rows={props.rows}
      keyOf={({ id, source }) => `${source} ${id}`}
      hrefOf={({ id }) => keyPath(id)}
      empty={
        <Empty>
          {props.all === 0 ? (
            <p>
              There are no keys: this machine needs none. Create one, and every client needs one
              from then on.
            </p>
          ) : (
            <p>No key matches.</p>
          )}
        </Empty>
      }
      columns={[
        { title: 'Key', cell: ({ id }) => id },
        {
          title: 'From',
          isMinor: true,
          cell: ({ source }) => (source === 'config' ? 'config' : 'created'),
        },
        {
          title: 'Status',
          cell: ({ status }) => <Badge tone={statusTones[status]}>{status}</Badge>,
        },
        {
          title: 'Budget used',
          cell: (key) => <BudgetCell uses={key.budget_use} />,
        },
        {
          title: 'Requests, 24 h',
          isNumber: true,
          cell: ({ id }) => (props.usage ? count(used.get(id)?.requests ?? 0) : unknown),
        },
        {
          title: 'Cost',
          isNumber: true,
          isMinor: true,
          cell: ({ id }) => {
            const own = used.get(id);
            return own ? <Cost {...own} /> : unknown;
          },
        },
        {
          title: 'Models',
          isMinor: true,
          cell: ({ models }) => <span title={modelsText(models)}>{modelsText(models)}</span>,
        },
        {
          title: 'Limits',
          isMinor: true,
          cell: (key) => <span title={limitsText(key)}>{limitsText(key)}</span>,
        },
      ]}
    />
  );
}

export const modelsText = (models: readonly string[]): string =>
  models.includes('*') ? 'all' : models.join(', ');

export function limitsText({ limits }: Pick<Key, 'limits'>): string {
  const texts = [
    limits?.requestsPerMinute !== undefined && `${count(limits.requestsPerMinute)} req/min`,
    limits?.tokensPerMinute !== undefined && `${count(limits.tokensPerMinute)} tok/min`,
    limits?.concurrent !== undefined && `${count(limits.concurrent)} at once`,
  ].filter((text) => text !== false);
  return texts.length === 0 ? 'none' : texts.join(', ');
}

export const priorityText = ({ priority, weight }: Pick<Key, 'priority' | 'weight'>): string =>
  weight === 1 ? priority : `${priority}, weight ${weight}`;
