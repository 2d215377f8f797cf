import { useLocation } from 'preact-iso';
import { call, queryOf } from '../../api/client.ts';
import { usePoll } from '../../api/use-poll.ts';
import { ActionButton, CodeBlock } from '../../ui/actions.tsx';
import { ago, clock, count } from '../../ui/format.ts';
import { Answer, Badge, Empty, Figure, Figures, PageHead, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import { lastTry, nextTry, shownUrl } from './deliveries.ts';
import type { Deliveries, Delivery } from './deliveries.ts';
import './webhooks.css';

/** Milliseconds between two looks. */
const everyMs = 3000;
/** Most deliveries of a look. */
const limit = 200;

const views = [
  { name: '', title: 'All' },
  { name: 'waiting', title: 'Waiting' },
  { name: 'dead', title: 'Dead letters' },
  { name: 'delivered', title: 'Delivered' },
] as const;

const tones: Record<Delivery['state'], Tone> = { waiting: 'info', delivered: 'good', dead: 'bad' };

/** The messages to other systems: those that wait, those that were delivered, and those that were given up. */
export function WebhooksPage() {
  const { query } = useLocation();
  const state = views.find(({ name }) => name === query['state'])?.name ?? '';
  const answer = usePoll<Deliveries>(`webhooks${queryOf({ state, limit })}`, everyMs);
  return (
    <>
      <PageHead
        title="Webhooks"
        lead="Messages about jobs that have ended, and about what needs attention. A message that its receiver does not take is a dead letter after eight attempts in about 30 hours."
      />
      {answer.failure?.code === 'no_webhooks' ? (
        <TurnOn />
      ) : (
        <Answer of={answer} what="the messages">
          {(data) => (
            <>
              <Panel>
                <Figures>
                  <Figure
                    label="Waiting"
                    value={count(data.counts.waiting)}
                    note="for their first attempt or the next one"
                  />
                  <Figure
                    label="Dead letters"
                    tone={data.counts.dead > 0 ? 'bad' : 'quiet'}
                    value={count(data.counts.dead)}
                    note="kept for 30 days"
                  />
                </Figures>
              </Panel>
              <div class="filter-bar" role="group" aria-label="State">
                {views.map(({ name, title }) => (
                  <a
                    key={name}
                    class="button"
                    href={`/admin/console/webhooks${queryOf({ state: name })}`}
                    aria-current={name === state ? 'true' : undefined}
                  >
                    {title}
                  </a>
                ))}
              </div>
              <Panel class="deliveries">
                <DeliveryTable of={data} state={state} refresh={answer.refresh} />
              </Panel>
            </>
          )}
        </Answer>
      )}
    </>
  );
}

const example = `webhooks:
  secret: '\${WEBHOOK_SECRET}' # whsec_ and what \`openssl rand -base64 32\` prints
  url: https://ops.example.com/hooks/millrace # optional: for all jobs, and for alerts`;

const TurnOn = () => (
  <Panel title="This fleet sends no webhooks">
    <p>
      Add this to the config and restart the fleet. A job then asks for its message with{' '}
      <code>{'"webhook": {"url": "https://…"}'}</code>; with <code>webhooks.url</code> that address
      gets the messages of all jobs, and alerts.
    </p>
    <div class="turn-on">
      <CodeBlock text={example} />
    </div>
    <p class="note">
      Messages are signed as <code>standardwebhooks</code> says, and go to no private address unless
      the config has <code>allowPrivate: true</code>.
    </p>
  </Panel>
);

function DeliveryTable(props: { of: Deliveries; state: string; refresh(): void }) {
  const { of: data, state, refresh } = props;
  const replay = async (id: string) => {
    await call(`webhooks/${encodeURIComponent(id)}/replay`, { method: 'POST' });
    refresh();
    return 'The message is sent again now.';
  };
  const remove = async (id: string) => {
    await call(`webhooks/${encodeURIComponent(id)}`, { method: 'DELETE' });
    refresh();
    return 'The message is forgotten.';
  };
  return (
    <>
      <Table<Delivery>
        label="Messages, newest first"
        rows={data.data}
        keyOf={({ id }) => id}
        toneOf={(one) => (one.state === 'dead' ? 'bad' : undefined)}
        empty={
          <Empty>
            {state === 'dead'
              ? 'There are no dead letters.'
              : 'There are no messages. Delivered ones are kept for a day.'}
          </Empty>
        }
        columns={[
          { title: 'Event', cell: ({ event }) => <code>{event}</code> },
          {
            title: 'State',
            cell: (one) => <Badge tone={tones[one.state]}>{one.state}</Badge>,
          },
          {
            title: 'Made',
            isMinor: true,
            cell: ({ created_at: at }) => <span title={clock(at)}>{ago(at)}</span>,
          },
          { title: 'To', cell: ({ url }) => <span title={url}>{shownUrl(url)}</span> },
          {
            title: 'About',
            isMinor: true,
            cell: ({ request }) =>
              request === null ? (
                '–'
              ) : (
                <a href={`/admin/console/requests/${encodeURIComponent(request)}`}>
                  <code>{request.slice(-8)}</code>
                </a>
              ),
          },
          {
            title: 'Attempts',
            cell: (one) => (one.state === 'waiting' ? nextTry(one) : count(one.attempts)),
          },
          {
            title: 'Last attempt',
            cell: (one) => <span title={one.last_error ?? undefined}>{lastTry(one)}</span>,
          },
          {
            title: 'Actions',
            isAction: true,
            cell: ({ id, event, state: now }) => (
              <span class="row-actions">
                <ActionButton
                  act={() => replay(id)}
                  title="Send it now, with all its attempts anew"
                  {...(now === 'delivered' && {
                    confirm: `The receiver has got this ${event} already, and gets it once more with the same id.`,
                  })}
                >
                  Replay
                </ActionButton>
                <ActionButton
                  tone="danger"
                  act={() => remove(id)}
                  confirm={`This ${event} is forgotten, and never sent again.`}
                >
                  Delete
                </ActionButton>
              </span>
            ),
          },
        ]}
      />
      {data.truncated === true && <p class="note cut">Only the newest {count(limit)} are shown.</p>}
    </>
  );
}
