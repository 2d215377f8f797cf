import { useRoute } from 'preact-iso';
import { useState } from 'preact/hooks';
import { call, queryOf } from '../../api/client.ts';
import type { RequestView } from '../../api/types.ts';
import { usePoll } from '../../api/use-poll.ts';
import { ActionButton, tell } from '../../ui/actions.tsx';
import { Cost } from '../../ui/cost.tsx';
import { ago, clock, count, usd } from '../../ui/format.ts';
import { Answer, Badge, Empty, Figure, Figures, PageHead, Panel } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import { BudgetList } from './budget-use.tsx';
import { KeyForm } from './key-form.tsx';
import { limitsText, modelsText, priorityText, statusTones } from './key-list.tsx';
import type { KeyUsage } from './key-list.tsx';
import './keys.css';
import { useHasAdmin } from './no-admin.tsx';
import { RotateDialog, SecretDialog } from './secret-dialog.tsx';
import type { Key, KeyWithSecret } from './types.ts';
import { useAliases } from './use-aliases.ts';

const everyMs = 5000;
const usageEveryMs = 30_000;

/** One key: what it may do, what it has used, its secrets, and what an operator can do with it. */
export function KeyDetail() {
  const { params } = useRoute();
  const id = params['id'] ?? '';
  const key = usePoll<Key>(`keys/${encodeURIComponent(id)}`, everyMs);
  return (
    <>
      <PageHead
        title={id}
        lead={
          <>
            A key of the <a href="/admin/console/keys">keys</a> of this fleet.
          </>
        }
      >
        {key.data && <Actions of={key.data} refresh={key.refresh} />}
      </PageHead>
      <Answer of={key} what="the key">
        {(data) => <Views of={data} />}
      </Answer>
    </>
  );
}

function Actions({ of: key, refresh }: { of: Key; refresh(): void }) {
  const aliases = useAliases();
  const hasAdmin = useHasAdmin();
  const [open, setOpen] = useState<'form' | 'rotate'>();
  const [rotated, setRotated] = useState<KeyWithSecret>();
  const close = () => setOpen(undefined);
  const isFixed = key.source === 'config';
  const isEnded = key.status === 'revoked';
  if (isFixed) return <span class="note">It is changed in the config.</span>;
  if (hasAdmin === false) {
    return (
      <span class="note">
        No key can be changed: the config has no <code>admin</code>.{' '}
        <a href="/admin/console/keys">What to do</a>
      </span>
    );
  }
  if (isEnded) return <span class="note">A revoked key does not come back.</span>;
  const revoke = async () => {
    await call(`keys/${encodeURIComponent(key.id)}`, { method: 'DELETE' });
    refresh();
    return `${key.id} is revoked.`;
  };
  return (
    <>
      <button type="button" onClick={() => setOpen('form')}>
        Change
      </button>
      <button type="button" onClick={() => setOpen('rotate')}>
        Rotate
      </button>
      <ActionButton
        tone="danger"
        act={revoke}
        confirm={`${key.id} is revoked for good: its clients get 401, and what is open with it ends within about a second.`}
      >
        Revoke
      </ActionButton>
      {open === 'form' && (
        <KeyForm
          of={key}
          aliases={aliases}
          onClose={close}
          onDone={() => {
            close();
            tell(`${key.id} is changed, on every ingress.`);
            refresh();
          }}
        />
      )}
      {open === 'rotate' && (
        <RotateDialog
          id={key.id}
          onClose={close}
          onDone={(done) => {
            close();
            setRotated(done);
            refresh();
          }}
        />
      )}
      {rotated && <SecretDialog of={rotated} onClose={() => setRotated(undefined)} />}
    </>
  );
}

function Views({ of: key }: { of: Key }) {
  const filter = queryOf({ key: key.id, limit: 10 });
  const last = usePoll<{ data: RequestView[] }>(`requests${filter}`, usageEveryMs);
  const usage = usePoll<{ data: KeyUsage[] }>(
    `usage${queryOf({ key: key.id })}&group_by=key&from={ago:86400}`,
    usageEveryMs,
  );
  const day = usage.data?.data[0];
  const newest = last.data?.data[0];
  return (
    <>
      <Panel>
        <Figures>
          <Figure
            label="Status"
            value={<Badge tone={statusTones[key.status]}>{key.status}</Badge>}
            note={statusNote(key)}
          />
          <Figure
            label="Last request that ended"
            value={newest ? ago(newest.ended_at) : '–'}
            note={newest ? clock(newest.ended_at) : 'none in the ledger'}
          />
          <Figure label="Requests, 24 h" value={count(usage.data ? (day?.requests ?? 0) : null)} />
          <Figure
            label="Cost, 24 h"
            value={usage.data && !day ? usd(0) : <Cost {...(day ?? { cost: null })} />}
          />
        </Figures>
      </Panel>
      <div class="columns">
        <div class="stack">
          <Panel title="What it may do">
            <dl class="facts">
              <dt>Models</dt>
              <dd>{modelsText(key.models) || 'none'}</dd>
              <dt>Addresses</dt>
              <dd>{key.ips.length === 0 ? 'any' : key.ips.join(', ')}</dd>
              <dt>Limits</dt>
              <dd>{limitsText(key)}</dd>
              <dt>Priority</dt>
              <dd>{priorityText(key)}</dd>
              <dt>Debug log</dt>
              <dd>
                {key.debug ? (
                  <a href={`/admin/console/debug${queryOf({ key: key.id })}`}>
                    records its requests
                  </a>
                ) : (
                  'no'
                )}
              </dd>
              <dt>From</dt>
              <dd>{key.source === 'config' ? 'the config' : 'created by an operator'}</dd>
            </dl>
          </Panel>
          <Panel title="Valid secrets" note="only their digests are kept">
            <ul class="secrets">
              {key.secrets.map((secret, index) => (
                <li key={index}>
                  {secret.created_at === null
                    ? 'of the config'
                    : `made ${ago(secret.created_at)} (${clock(secret.created_at)})`}
                  {secret.valid_until !== null && `, valid until ${clock(secret.valid_until)}`}
                </li>
              ))}
            </ul>
          </Panel>
        </div>
        <Panel title="Budget">
          {key.budget_use.length === 0 ? (
            <Empty>It has no budget: it may use as much as its limits allow.</Empty>
          ) : (
            <BudgetList uses={key.budget_use} />
          )}
        </Panel>
      </div>
      <Panel
        title="Newest requests"
        actions={
          <>
            <a href={`/admin/console/requests${queryOf({ q: `key:${key.id}` })}`}>all of them</a>
            <a href={`/admin/console/audit${queryOf({ target: key.id })}`}>its audit entries</a>
          </>
        }
      >
        <Answer of={last} what="its requests">
          {({ data }) => (
            <Table
              label="Newest requests of the key"
              rows={data}
              keyOf={({ id }) => id}
              hrefOf={({ id }) => `/admin/console/requests/${id}`}
              toneOf={({ status, rescues }) =>
                status === 'failed' ? 'bad' : rescues > 0 ? 'seam' : undefined
              }
              empty={<Empty>The ledger has no request of this key.</Empty>}
              columns={[
                { title: 'Request', cell: ({ id }) => <code>{id.slice(-8)}</code> },
                { title: 'Ended', cell: ({ ended_at }) => ago(ended_at) },
                { title: 'Model', cell: ({ model }) => model },
                { title: 'Status', cell: ({ status }) => status },
                {
                  title: 'Cost',
                  isNumber: true,
                  cell: ({ cost }) => <Cost cost={cost} />,
                },
              ]}
            />
          )}
        </Answer>
      </Panel>
    </>
  );
}

function statusNote(key: Key): string | undefined {
  if (key.status === 'revoked') return `since ${clock(key.revoked_at)}`;
  if (key.status === 'shadowed') return 'a key of the config has its id, and counts instead';
  if (key.status === 'expired') return `since ${clock(key.expires_at)}`;
  if (key.expires_at !== null) return `expires ${clock(key.expires_at)}`;
  return key.created_at === null ? undefined : `created ${clock(key.created_at)}`;
}
