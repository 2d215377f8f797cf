import type { ComponentChildren } from 'preact';
import { serverNow } from '../../api/server-clock.ts';
import type { Attempt, RequestView } from '../../api/types.ts';
import { usePoll } from '../../api/use-poll.ts';
import { Cost } from '../../ui/cost.tsx';
import { clock, count, duration, unknown } from '../../ui/format.ts';
import { Answer, Badge, Figure, Figures, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import type { Column } from '../../ui/table.tsx';
import { Target } from './request-columns.tsx';
import { attemptColor, gapText, milliseconds, whyOf } from './strip.tsx';
import { unknownOutcome, isLost } from './lost-attempts.ts';
import { inWords, isUnderWay, toneOfOutcome } from './strip.ts';
import type { Seam } from './strip.ts';

/* The panels of a request's page that stand below its strip. */

export type RequestEvent = { at: string; event: string; attempt?: number; detail?: string };

/** `GET /admin/requests/{id}`. */
export type RequestDetailView = RequestView & { events: RequestEvent[] };

export function RequestFigures({ request, isOpen }: { request: RequestView; isOpen: boolean }) {
  const { usage, rescues, max_gap_ms: gap } = request;
  return (
    <Figures>
      <Figure
        label="First token"
        value={duration(request.first_token_ms)}
        note={request.queue_ms === null ? undefined : `${duration(request.queue_ms)} in the queue`}
      />
      <Figure
        label={!isOpen ? 'Duration' : request.status === 'queued' ? 'Waits for' : 'Runs for'}
        value={duration(
          isOpen ? serverNow() - Date.parse(request.created_at) : request.duration_ms,
        )}
      />
      <Figure
        label="Output tokens"
        // Counted at the end of each attempt.
        value={count(isOpen && usage.output_tokens === 0 ? null : usage.output_tokens)}
        note={
          isOpen && usage.output_tokens === 0
            ? 'known at the end'
            : `${count(usage.input_tokens)} input${usage.cached_tokens > 0 ? `, ${count(usage.cached_tokens)} cached` : ''}${usage.estimated ? ', in part estimated' : ''}`
        }
      />
      <Figure
        label="Cost"
        value={<Cost cost={isOpen && !request.cost ? null : request.cost} />}
        note={costNote(request, isOpen)}
      />
      <Figure
        label="Rescues"
        tone={rescues > 0 ? 'seam' : 'quiet'}
        value={count(rescues)}
        note={gap === null ? undefined : `longest gap ${milliseconds(gap)}`}
      />
      <Figure label="Attempts" value={count(request.attempts.length)} />
    </Figures>
  );
}

function costNote({ cost, attempts }: RequestView, isOpen: boolean): string | undefined {
  if (isOpen && !cost) return 'known at the end';
  if (cost === null) return 'price unknown';
  return attempts.length > 1 ? `of ${attempts.length} attempts` : undefined;
}

/** Each seam in a sentence, and a button that looks closer at it. */
export function Seams(props: {
  seams: readonly Seam[];
  /** The number of the seam that the strip shows; undefined: all of it. */
  closer: number | undefined;
  look(seam: number | undefined): void;
  startedAt: number;
}) {
  const { seams, closer, look, startedAt } = props;
  if (seams.length === 0) return null;
  return (
    <ol class="seams">
      {seams.map((seam) => (
        <li key={seam.number}>
          <Badge tone="seam">{gapText(seam)}</Badge>
          <span>
            At {duration(seam.from - startedAt)}: <strong>{whyOf(seam)}</strong>
            {seam.cut && ` at ${seam.cut.provider}`}. {nextWords(seam)}{' '}
            {seam.cut?.detail && <q class="note">{seam.cut.detail}</q>}
          </span>
          <button
            type="button"
            aria-pressed={closer === seam.number}
            onClick={() => look(closer === seam.number ? undefined : seam.number)}
          >
            {closer === seam.number ? 'Whole' : 'Look closer'}
          </button>
        </li>
      ))}
    </ol>
  );
}

function nextWords({ next, isOpen, isReset }: Seam): string {
  if (isOpen) return next ? `${next.provider} is asked to continue.` : 'Its readers wait.';
  if (!next) return '';
  return `${next.provider} ${isReset ? 'answers anew' : `continues (${next.mode})`}.`;
}

const ms = (from: string | null, to: string | null): number | null =>
  from === null || to === null ? null : Date.parse(to) - Date.parse(from);

function toneOf(attempt: Attempt): Tone {
  if (attempt.outcome === unknownOutcome) return 'bad';
  if (isUnderWay(attempt)) return 'info';
  return toneOfOutcome(attempt.outcome ?? 'ended');
}

function outcomeWords(attempt: Attempt): string {
  if (attempt.outcome === unknownOutcome) return 'worker lost';
  return isUnderWay(attempt) ? 'running' : inWords(attempt.outcome ?? 'ended');
}

const attemptColumns: readonly Column<Attempt>[] = [
  {
    title: 'Attempt',
    width: '78px',
    cell: ({ attempt }) => (
      <>
        <span
          class="attempt-dot"
          style={{ '--attempt': attemptColor(attempt) }}
          aria-hidden="true"
        />{' '}
        {attempt}
      </>
    ),
  },
  { title: 'Run', width: '46px', isNumber: true, isMinor: true, cell: ({ run }) => run },
  { title: 'Target', cell: ({ provider, model }) => <Target provider={provider} model={model} /> },
  { title: 'Mode', width: '92px', isMinor: true, cell: ({ mode }) => mode },
  {
    title: 'Outcome',
    width: '196px',
    cell: (attempt) => (
      <span
        title={
          attempt.outcome === unknownOutcome
            ? 'Its worker was lost, and the end is not recorded.'
            : (attempt.detail ?? undefined)
        }
      >
        <Badge tone={toneOf(attempt)}>{outcomeWords(attempt)}</Badge>
      </span>
    ),
  },
  {
    title: 'First token',
    width: '92px',
    isNumber: true,
    isMinor: true,
    cell: (one) => duration(ms(one.started_at, one.first_token_at)),
  },
  {
    title: 'Took',
    width: '78px',
    isNumber: true,
    isMinor: true,
    cell: (one) => duration(ms(one.started_at, one.ended_at)),
  },
  {
    title: 'Tokens',
    width: '100px',
    isNumber: true,
    isMinor: true,
    cell: (attempt) =>
      isUnderWay(attempt)
        ? unknown
        : `${count(attempt.usage.input_tokens)} → ${count(attempt.usage.output_tokens)}`,
  },
  {
    title: 'Cost',
    width: '78px',
    isNumber: true,
    isMinor: true,
    cell: ({ cost }) => <Cost cost={cost} />,
  },
];

export const Attempts = ({ request }: { request: RequestView }) => (
  <Panel title="Attempts" class="attempts-panel">
    <Table
      label="Attempts"
      columns={attemptColumns}
      rows={request.attempts.map((one) =>
        // Its times stay empty: the table has what is recorded.
        isLost(one, request) ? { ...one, outcome: unknownOutcome } : one,
      )}
      keyOf={({ attempt, run }) => `${run}-${attempt}`}
      empty={<p class="note">No target was asked yet.</p>}
    />
    <ProvidersWords attempts={request.attempts} />
  </Panel>
);

/** What providers said of the attempts that they ended, whole. */
function ProvidersWords({ attempts }: { attempts: readonly Attempt[] }) {
  const told = attempts.filter(({ detail }) => detail !== null && detail !== '');
  if (told.length === 0) return null;
  return (
    <dl class="facts providers-words">
      {told.map(({ attempt, run, provider, detail }) => (
        <>
          <dt key={`${run}-${attempt}`}>
            {attempt}. {provider}
          </dt>
          <dd>{detail}</dd>
        </>
      ))}
    </dl>
  );
}

export function Facts(props: {
  request: RequestView;
  /** The worker of each run. */
  workers: ReadonlyMap<number, string>;
}) {
  const { request, workers } = props;
  const of = (name: string, value: string) => (
    <a href={`/admin/console/requests?q=${encodeURIComponent(`${name}:${quotedIfNeeded(value)}`)}`}>
      {value}
    </a>
  );
  const rows: [name: string, value: ComponentChildren][] = [
    ['Model', of('model', request.model)],
    ['Key', request.key === null ? unknown : of('key', request.key)],
    ['User', request.user === null ? unknown : of('user', request.user)],
    ['Session', request.session === null ? unknown : of('session', request.session)],
    ['Target', <Target provider={request.provider} model={request.target_model} />],
    ...(workers.size > 0
      ? [['Worker', [...workers.values()].join(', then ')] satisfies [string, string]]
      : []),
    ['API', `${request.api}${request.stream ? ', streamed' : ', whole'}`],
    ['Begun', clock(request.created_at)],
    ['Ended', clock(request.ended_at)],
    ['Finish reason', request.finish_reason ?? unknown],
    ['Prompt’s hash', <code>{request.prompt_hash ?? unknown}</code>],
  ];
  return (
    <Panel title="Facts">
      <dl class="facts">
        {rows.map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        ))}
        {metadataOf(request.metadata).map(([name, value]) => (
          <>
            <dt>
              <code>{name}</code>
            </dt>
            <dd>{value}</dd>
          </>
        ))}
      </dl>
    </Panel>
  );
}

/** Values of metadata are the client's: any JSON may stand there. */
const metadataOf = (metadata: unknown): [name: string, value: string][] =>
  typeof metadata !== 'object' || metadata === null
    ? []
    : Object.entries(metadata).map(([name, value]) => [
        name,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]);

const quotedIfNeeded = (value: string): string =>
  /[\s"]/.test(value) ? `"${value.replaceAll('"', '')}"` : value;

type Reader = {
  ingress: string;
  transport: 'sse' | 'json' | 'websocket';
  native: boolean;
  since_at: string;
  entry: string | null;
  lag_entries: number | null;
  lag_ms: number | null;
  buffered_bytes: number;
};

const readerColumns: readonly Column<Reader>[] = [
  { title: 'Ingress', cell: ({ ingress }) => ingress },
  {
    title: 'By',
    cell: ({ transport, native }) => `${transport}${native ? ', native' : ''}`,
  },
  { title: 'Since', isMinor: true, cell: ({ since_at: since }) => clock(since) },
  {
    title: 'Behind',
    isNumber: true,
    cell: ({ lag_entries: entries, lag_ms: lag }) => (
      <span class={(lag ?? 0) > 1000 ? 'lags' : ''}>
        {count(entries)} entries{lag !== null && `, ${duration(lag)}`}
      </span>
    ),
  },
  {
    title: 'Buffered',
    isNumber: true,
    isMinor: true,
    cell: ({ buffered_bytes: bytes }) => `${count(bytes)} B`,
  },
];

/** Milliseconds between two looks at the readers. */
const readersEveryMs = 1000;

/** Who reads the stream at this moment, and how far behind each is. */
export function Readers({ id }: { id: string }) {
  const readers = usePoll<{ data: Reader[] }>(
    `requests/${encodeURIComponent(id)}/readers`,
    readersEveryMs,
  );
  return (
    <Panel title="Readers" note="at this moment">
      <Answer of={readers} what="the readers">
        {({ data }) => (
          <Table
            label="Readers"
            columns={readerColumns}
            rows={data}
            keyOf={(one) => `${one.ingress} ${one.transport} ${one.since_at} ${data.indexOf(one)}`}
            empty={<p class="note">No reader is connected. It runs on.</p>}
          />
        )}
      </Answer>
    </Panel>
  );
}

export function Events({
  events,
  startedAt,
}: {
  events: readonly RequestEvent[];
  startedAt: number;
}) {
  return (
    <Panel title="Events">
      <ol class="events">
        {events.map(({ at, event, attempt, detail }, index) => (
          <li key={index}>
            <time dateTime={at} title={at} class="mono">
              +{duration(Date.parse(at) - startedAt)}
            </time>
            <span>
              <strong>{event.replaceAll('_', ' ')}</strong>
              {attempt !== undefined && ` ${attempt}`}
              {detail !== undefined && <span class="note"> {detail}</span>}
            </span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
