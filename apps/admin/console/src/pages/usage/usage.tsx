import { useMemo } from 'preact/hooks';
import { serverNow } from '../../api/server-clock.ts';
import { queryOf } from '../../api/client.ts';
import { useAllKnown, usePoll } from '../../api/use-poll.ts';
import { Chart } from '../../ui/chart.tsx';
import { Cost, isCostKnown } from '../../ui/cost.tsx';
import { count, duration, percent, plural, usd } from '../../ui/format.ts';
import { Answer, Empty, Figure, Figures, Loading, PageHead, Panel } from '../../ui/panel.tsx';
import { PeriodButtons } from '../../ui/period-buttons.tsx';
import { periodOf } from '../../ui/periods.ts';
import type { Period } from '../../ui/periods.ts';
import { useQueryState } from '../../ui/query-state.ts';
import { UsageTable } from './usage-table.tsx';
import { measures, stackOf } from './rows.ts';
import type { Bucket, Grouping, Measure, UsageRow } from './rows.ts';
import './usage.css';

/** Milliseconds between two looks at the ledger. */
const everyMs = 15_000;

const views = [
  { name: 'key', title: 'by key' },
  { name: 'user', title: 'by user' },
  { name: 'model', title: 'by model' },
  { name: 'provider', title: 'by provider' },
  { name: 'status', title: 'by status' },
  { name: 'time', title: 'by time' },
] as const;

const measureTitles: Record<Measure, string> = {
  cost: 'Cost',
  output_tokens: 'Output tokens',
  requests: 'Requests',
};

const formats: Record<Measure, (value: number) => string> = {
  cost: usd,
  output_tokens: count,
  requests: count,
};

type Series = { step_ms: number; data: Bucket[] };

/** What the requests of a period used and cost: over time, and by key, user, model, provider or status. */
export function UsagePage() {
  const [periodName, choosePeriod] = useQueryState('period', '24h');
  const [by, chooseBy] = useQueryState('by', 'key');
  const [chosen, chooseMeasure] = useQueryState('measure', 'cost');
  const period = periodOf(periodName);
  const view = views.find(({ name }) => name === by)?.name ?? 'key';
  const measure = measures.find((name) => name === chosen) ?? 'cost';
  const grouping: Grouping = view !== 'time' ? view : period.seconds <= 86_400 ? 'hour' : 'day';
  const from = `from={ago:${period.seconds}}`;
  const total = usePoll<{ data: UsageRow[] }>(`usage?${from}`, everyMs);
  const rows = usePoll<{ data: UsageRow[] }>(`usage?group_by=${grouping}&${from}`, everyMs);
  // The ledger has series of a few values: users may be very many.
  const byPart = view === 'time' || view === 'user' ? '' : `&by=${view}`;
  const series = usePoll<Series>(`series?${from}${byPart}`, everyMs);
  const isKnown = useAllKnown(total, rows, series);
  const head = (
    <PageHead
      title="Usage"
      lead="All attempts count as their providers bill them, those that failed included."
    >
      <PeriodButtons period={period} choose={choosePeriod} />
    </PageHead>
  );
  if (!isKnown) {
    return (
      <>
        {head}
        <Loading what="the sums" />
      </>
    );
  }

  return (
    <>
      {head}
      <Answer of={total} what="the sums">
        {({ data }) => <Totals row={data[0]} period={period} />}
      </Answer>
      <div class="usage-bar">
        <Choice label="Group" options={views} chosen={view} choose={chooseBy} />
        <Choice
          label="Measure"
          options={measures.map((name) => ({ name, title: measureTitles[name] }))}
          chosen={measure}
          choose={chooseMeasure}
        />
      </div>
      <Answer of={series} what="the chart">
        {(data) => <SeriesPanel series={data} measure={measure} />}
      </Answer>
      <Panel
        title={`Sums ${views.find(({ name }) => name === view)?.title ?? ''}`}
        note={view === 'time' ? `${grouping}s of UTC` : `last ${period.title}`}
        actions={<Exports grouping={grouping} period={period} />}
      >
        <Answer of={rows} what="the sums">
          {({ data }) => <UsageTable rows={data} grouping={grouping} period={period} />}
        </Answer>
      </Panel>
    </>
  );
}

function Choice(props: {
  label: string;
  options: readonly { name: string; title: string }[];
  chosen: string;
  choose(name: string): void;
}) {
  return (
    <div class="actions" role="group" aria-label={props.label}>
      {props.options.map(({ name, title }) => (
        <button
          type="button"
          key={name}
          aria-pressed={name === props.chosen}
          onClick={() => props.choose(name)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

function Totals({ row, period }: { row: UsageRow | undefined; period: Period }) {
  if (!row) {
    return (
      <Panel>
        <Empty>The ledger has no requests of the last {period.title}.</Empty>
      </Panel>
    );
  }
  return (
    <Panel title="All" note={`last ${period.title}`}>
      <Figures>
        <Figure
          label="Cost"
          value={<Cost {...row} />}
          note={
            !isCostKnown(row)
              ? 'no price is known'
              : row.unpriced > 0
                ? `without ${plural(row.unpriced, 'request')} of unknown price`
                : 'every price is known'
          }
        />
        <Figure
          label="Requests"
          value={count(row.requests)}
          note={`${count(row.failed)} failed, ${count(row.rescued)} rescued`}
        />
        <Figure
          label="Input tokens"
          value={count(row.input_tokens)}
          note={`${percent(row.input_tokens === 0 ? 0 : row.cached_tokens / row.input_tokens, 0)} from the provider's cache`}
        />
        <Figure label="Output tokens" value={count(row.output_tokens)} />
        <Figure
          label="Estimated"
          tone={row.estimated > 0 ? 'warn' : 'quiet'}
          value={count(row.estimated)}
          note="requests whose tokens Millrace counted in part"
        />
      </Figures>
    </Panel>
  );
}

function SeriesPanel({ series, measure }: { series: Series; measure: Measure }) {
  const stack = useMemo(() => stackOf(series.data, measure), [series, measure]);
  const lines = useMemo(
    () =>
      stack.groups.map(({ name, values }, index) => ({
        label: name,
        color: `series-${Math.min(index + 1, 9)}`,
        values,
      })),
    [stack],
  );
  if (lines.length === 0) return null;
  if (measure === 'cost' && series.data.every(({ cost }) => !cost)) {
    return (
      <Panel title="Cost">
        <Empty>No price is known of what was used, so there is no cost to draw.</Empty>
      </Panel>
    );
  }
  return (
    <Panel title={measureTitles[measure]} note={`per ${duration(series.step_ms)}`}>
      <Chart
        label={`${measureTitles[measure]} over time`}
        times={stack.times}
        format={formats[measure]}
        height={220}
        isStacked
        lines={lines}
      />
    </Panel>
  );
}

function Exports({ grouping, period }: { grouping: Grouping; period: Period }) {
  const from = Math.floor(serverNow() / 1000) - period.seconds;
  const of = (format: string) =>
    `/admin/usage${queryOf({ group_by: grouping === 'hour' || grouping === 'day' ? grouping : `${grouping},day`, from, format })}`;
  return (
    <>
      <span class="note">Export</span>
      <a href={of('csv')} download="usage.csv">
        CSV
      </a>
      <a href={of('ndjson')} download="usage.ndjson">
        NDJSON
      </a>
    </>
  );
}
