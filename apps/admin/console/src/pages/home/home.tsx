import { usePoll } from '../../api/use-poll.ts';
import { Answer, PageHead } from '../../ui/panel.tsx';
import { PeriodButtons } from '../../ui/period-buttons.tsx';
import { periodOf } from '../../ui/periods.ts';
import { useQueryState } from '../../ui/query-state.ts';
import { AttentionPanel } from './attention-panel.tsx';
import { LivePanel } from './live-panel.tsx';
import { SavedPanel } from './saved-panel.tsx';
import type { Summary } from './saved-panel.tsx';
import { SeriesPanel } from './series-panel.tsx';
import { WelcomePanel } from './welcome-panel.tsx';

/** Milliseconds between two looks at the ledger. */
const everyMs = 5000;

/** What Millrace saved, what it does now, and what needs attention. */
export function Home() {
  const [name, choose] = useQueryState('period', '24h');
  const period = periodOf(name);
  const summary = usePoll<Summary>(`summary?from={ago:${period.seconds}}`, everyMs);
  return (
    <>
      <PageHead title="Home">
        <PeriodButtons period={period} choose={choose} />
      </PageHead>
      <Answer of={summary} what="what Millrace saved">
        {(data) =>
          data.requests === 0 ? <WelcomePanel /> : <SavedPanel summary={data} period={period} />
        }
      </Answer>
      <div class="columns">
        <LivePanel />
        <AttentionPanel />
      </div>
      {summary.data?.requests !== 0 && <SeriesPanel period={period} />}
    </>
  );
}
