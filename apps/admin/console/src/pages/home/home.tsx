import { useAllKnown, usePoll } from '../../api/use-poll.ts';
import type { Live } from '../../api/types.ts';
import { attention, attentionFailure } from '../../shell/attention.tsx';
import { Failure, Loading, PageHead } from '../../ui/panel.tsx';
import { PeriodButtons } from '../../ui/period-buttons.tsx';
import { periodOf } from '../../ui/periods.ts';
import { useQueryState } from '../../ui/query-state.ts';
import { AttentionPanel } from './attention-panel.tsx';
import { LivePanel } from './live-panel.tsx';
import { SavedPanel, budgetItems } from './saved-panel.tsx';
import type { Summary } from './saved-panel.tsx';
import { SeriesPanel } from './series-panel.tsx';
import type { Series } from './series-panel.tsx';
import { WelcomePanel } from './welcome-panel.tsx';

/** Milliseconds between two looks: at the ledger, at its charts, and at the running streams. */
const everyMs = { summary: 5000, series: 15_000, live: 1000 };

/** What Millrace saved, what it does now, and what needs attention. */
export function Home() {
  const [name, choose] = useQueryState('period', '24h');
  const period = periodOf(name);
  const from = `from={ago:${period.seconds}}`;
  const summary = usePoll<Summary>(`summary?${from}`, everyMs.summary);
  const series = usePoll<Series>(`series?${from}`, everyMs.series);
  const live = usePoll<Live>('live', everyMs.live);
  const isKnown = useAllKnown(summary, series, live);
  return (
    <>
      <PageHead title="Home">
        <PeriodButtons period={period} choose={choose} />
      </PageHead>
      {!isKnown || !(attention.value ?? attentionFailure.value) ? (
        <Loading what="what Millrace saved" />
      ) : (
        <>
          {summary.failure && <Failure failure={summary.failure} retry={summary.refresh} />}
          {summary.data?.requests === 0 && <WelcomePanel />}
          {summary.data !== undefined && summary.data.requests > 0 && (
            <SavedPanel summary={summary.data} period={period} />
          )}
          <div class="columns">
            <LivePanel live={live} />
            <AttentionPanel more={budgetItems(summary.data, period)} />
          </div>
          {series.data !== undefined && summary.data?.requests !== 0 && (
            <SeriesPanel series={series.data} />
          )}
        </>
      )}
    </>
  );
}
