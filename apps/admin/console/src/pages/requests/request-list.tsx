import { useLocation } from 'preact-iso';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { serverNow } from '../../api/server-clock.ts';
import { queryOf } from '../../api/client.ts';
import type { Live, RequestView } from '../../api/types.ts';
import { usePoll } from '../../api/use-poll.ts';
import { count } from '../../ui/format.ts';
import { Empty, Failure, Loading, PageHead, Panel } from '../../ui/panel.tsx';
import { Table } from '../../ui/table.tsx';
import { FilterBar } from './filter-bar.tsx';
import { apiQueryOf, hasTerm, parseFilter, toggleTerm } from './filter.ts';
import { requestColumns } from './request-columns.tsx';
import './requests.css';
import { endingAfter, mergeRows } from './rows.ts';
import type { Row } from './rows.ts';

/** Milliseconds between two looks at what runs, and at what has ended. */
const liveEveryMs = 1000;
const endedEveryMs = 3000;
/** Ended requests of a page. */
const pageRows = 50;

type Page = { data: RequestView[]; next: string | null };

/** What stands in the page's URL. */
type PageState = {
  q: string;
  view: string;
  cursor: string;
  /** Not empty: the list is paused. */
  hold: string;
};

/** All requests: those that run on top, those that have ended below; filter, view and page stand in the URL. */
export function RequestList() {
  const { query, route } = useLocation();
  const { q = '', view = '', cursor = '', hold = '' } = query;
  const state: PageState = { q, view, cursor, hold };
  const change = (changes: Partial<PageState>, isStep = false) =>
    route(pathOf({ ...state, cursor: '', ...changes }), !isStep);

  const filter = useMemo(() => parseFilter(q), [q]);
  const apiQuery = useMemo(() => apiQueryOf(filter), [filter]);
  const isLive = view === 'live';
  const isFirst = cursor === '';
  const isHeld = hold !== '';

  const asksLive = isLive || isFirst;
  const asksEnded = !isLive && apiQuery !== undefined;
  const live = usePoll<Live>(asksLive ? 'live' : undefined, isHeld ? undefined : liveEveryMs);
  const ended = usePoll<Page>(
    asksEnded ? listPath(apiQuery, cursor) : undefined,
    isFirst && !isHeld ? endedEveryMs : undefined,
  );
  // While another filter or page is asked for, the list shows what it had.
  const known = useRef<Page | undefined>(undefined);
  if (ended.data) known.current = ended.data;
  const isOther = asksEnded && ended.data === undefined && !ended.failure;
  const page = asksEnded ? (ended.data ?? (isOther ? known.current : undefined)) : undefined;
  const isStale = asksEnded && (isOther || ended.failure !== undefined);
  const rows = useRows(asksLive ? live.data : undefined, page?.data, {
    filter,
    isLive,
    refresh: ended.refresh,
  });
  // Both at once: rows that arrive late on top would move the others.
  const isLoading =
    (asksLive && live.data === undefined && !live.failure) ||
    (asksEnded && page === undefined && !ended.failure);
  const next = isOther ? null : (page?.next ?? null);

  return (
    <>
      <PageHead title="Requests" lead={<Totals live={live.data} />}>
        {apiQuery && <Exports query={apiQuery} />}
      </PageHead>
      <div class="filter-bar">
        <FilterBar text={q} seen={() => valuesOf(rows)} apply={(text) => change({ q: text })} />
        <QuickFilters state={state} change={change} />
      </div>
      {ended.failure && <Failure failure={ended.failure} retry={ended.refresh} />}
      {live.failure && asksLive && <Failure failure={live.failure} retry={live.refresh} />}
      <Panel class={`request-list ${isStale ? 'stale' : ''}`}>
        {isLoading ? (
          <Loading what="the requests" />
        ) : (
          <Table
            label="Requests"
            columns={requestColumns}
            rows={rows}
            keyOf={({ id }) => id}
            hrefOf={({ id }) => `/admin/console/requests/${encodeURIComponent(id)}`}
            toneOf={toneOf}
            empty={<NoRows isLive={isLive} isFiltered={q !== ''} />}
          />
        )}
      </Panel>
      {live.data?.truncated === true && asksLive && (
        <p class="note">More requests run or wait than this list shows: it has the newest.</p>
      )}
      <nav class="paging" aria-label="Pages of the list">
        {!isFirst && (
          <a class="button" href={pathOf({ ...state, cursor: '' })}>
            ⇤ Newest
          </a>
        )}
        {next !== null && (
          <a class="button" href={pathOf({ ...state, cursor: next })}>
            Older →
          </a>
        )}
      </nav>
    </>
  );
}

const pathOf = (state: PageState): string => `/admin/console/requests${queryOf(state)}`;

/** `{ago:…}` has to reach `usePoll` as it is. */
function listPath({ from, ...query }: Record<string, string>, cursor: string): string {
  const path = `requests${queryOf({ limit: pageRows, ...query, cursor })}`;
  return from === undefined ? path : `${path}&from=${from}`;
}

/** The list's rows; a request that has just ended stays until the ledger has it. */
function useRows(
  live: Live | undefined,
  ended: RequestView[] | undefined,
  {
    filter,
    isLive,
    refresh,
  }: { filter: ReturnType<typeof parseFilter>; isLive: boolean; refresh(): void },
): Row[] {
  const ending = useRef(new Map<string, { row: Row; since: number }>());
  const last = useRef<{ rows: Row[]; filter: typeof filter }>({ rows: [], filter });
  const rows = useMemo(() => {
    const present = live && new Set([...live.running, ...(ended ?? [])].map(({ id }) => id));
    const isSame = last.current.filter === filter && !isLive;
    ending.current = endingAfter(
      isSame ? ending.current : new Map(),
      isSame ? last.current.rows : [],
      present,
      serverNow(),
    );
    return mergeRows({
      live,
      ended: isLive ? [] : (ended ?? []),
      ending: [...ending.current.values()].map(({ row }) => row),
      filter,
    });
  }, [live, ended, filter, isLive]);
  last.current = { rows, filter };
  const waitsForLedger = ending.current.size > 0;
  useEffect(() => {
    if (waitsForLedger) refresh();
  }, [waitsForLedger, live]);
  return rows;
}

const toneOf = ({ status, rescues }: Row): string | undefined =>
  status === 'failed' ? 'bad' : rescues > 0 ? 'seam' : undefined;

const valuesOf = (rows: readonly Row[]) => {
  const of = (values: (string | null | undefined)[]) => [
    ...new Set(values.filter((value) => typeof value === 'string')),
  ];
  return {
    model: of(rows.map(({ model }) => model)),
    key: of(rows.map(({ key }) => key)),
    provider: of(rows.map(({ provider }) => provider)),
    error: of(rows.map(({ error }) => error?.code)),
  };
};

function Totals({ live }: { live: Live | undefined }) {
  if (!live) return <span>Every request, from its first second on.</span>;
  const { running, queued, rescued_running: rescued } = live.totals;
  return (
    <span>
      {running > 0 && <span class="live-dot pulse" aria-hidden="true" />}
      {count(running)} running, {count(queued)} waiting
      {rescued > 0 && <span class="rescued-word">, {count(rescued)} go on after a rescue</span>}
    </span>
  );
}

function QuickFilters(props: { state: PageState; change(changes: Partial<PageState>): void }) {
  const { state, change } = props;
  const status = (value: string, title: string) => (
    <button
      type="button"
      aria-pressed={state.view === '' && hasTerm(state.q, 'status', value)}
      onClick={() =>
        change({
          view: '',
          q:
            state.view !== '' && hasTerm(state.q, 'status', value)
              ? state.q
              : toggleTerm(state.q, 'status', value),
        })
      }
    >
      {title}
    </button>
  );
  return (
    <div class="actions" role="group" aria-label="Quick filters">
      {status('failed', 'Failed')}
      {status('rescued', 'Rescued')}
      <button
        type="button"
        aria-pressed={state.view === 'live'}
        onClick={() => change({ view: state.view === 'live' ? '' : 'live' })}
      >
        Running
      </button>
      <button
        type="button"
        class="hold"
        aria-pressed={state.hold !== ''}
        title="The list does not change while it is paused"
        onClick={() => change({ hold: state.hold === '' ? 'on' : '', cursor: state.cursor })}
      >
        Pause the list
      </button>
    </div>
  );
}

function Exports({ query }: { query: Record<string, string> }) {
  const href = (format: string) => {
    const seconds = /^\{ago:(\d+)\}$/.exec(query['from'] ?? '')?.[1];
    const from =
      seconds === undefined
        ? query['from']
        : String(Math.floor(serverNow() / 60_000) * 60 - Number(seconds));
    return `/admin/requests${queryOf({ ...query, from, format })}`;
  };
  return (
    <>
      <span class="note">Export all that match:</span>
      <a class="button" href={href('csv')} download="requests.csv" target="_self">
        CSV
      </a>
      <a class="button" href={href('ndjson')} download="requests.ndjson" target="_self">
        NDJSON
      </a>
    </>
  );
}

function NoRows({ isLive, isFiltered }: { isLive: boolean; isFiltered: boolean }) {
  if (isFiltered) return <Empty>No request matches this filter.</Empty>;
  if (isLive) return <Empty>Nothing runs or waits at this moment.</Empty>;
  return (
    <Empty>
      <p>There were no requests yet.</p>
      <p>
        <a href="/admin/console/playground">Send one in the playground</a>, or{' '}
        <a href="/admin/console/setup">set a client up</a>.
      </p>
    </Empty>
  );
}
