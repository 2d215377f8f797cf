import { queryOf } from '../../api/client.ts';
import { Cost, isCostKnown } from '../../ui/cost.tsx';
import { count, duration, percent, percentDown, plural, usd } from '../../ui/format.ts';
import { Figure, Figures, Panel } from '../../ui/panel.tsx';
import type { AttentionItem } from '../../shell/attention.tsx';
import type { Period } from '../../ui/periods.ts';

/** `GET /admin/summary`. */
export type Summary = {
  requests: number;
  completed: number;
  failed: number;
  cancelled: number;
  rescued: number;
  streams_rescued_mid_answer: number;
  gap_ms: { p50: number; p99: number; max: number } | null;
  tokens_not_paid_twice: number;
  saved_cost: number | null;
  /** Completed of those that completed or failed; null: there were none. */
  availability: number | null;
  error_budget: { objective: number; allowed: number; used: number; left: number };
  first_token_ms: { p50: number; p95: number; p99: number } | null;
  output_tokens: number;
  tokens_per_s: number | null;
  cost: number | null;
  unpriced: number;
};

/** What the streams of the period would have lost without Millrace, and what they got. */
export function SavedPanel({ summary, period }: { summary: Summary; period: Period }) {
  const { availability, error_budget: budget, gap_ms: gap, first_token_ms: first } = summary;
  return (
    <>
      <Panel title="Saved" note={`last ${period.title}`} class="saved">
        <Figures>
          <Figure
            size="large"
            tone={summary.rescued > 0 ? 'seam' : 'good'}
            label="Streams rescued"
            value={<a href={listOf(period, 'status:rescued')}>{count(summary.rescued)}</a>}
            note={`${count(summary.streams_rescued_mid_answer)} in mid-answer`}
          />
          <Figure
            size="large"
            label="Pause of a rescue"
            value={duration(gap?.p50)}
            note={gap ? `p99 ${duration(gap.p99)}, longest ${duration(gap.max)}` : 'no rescue'}
          />
          <Figure
            size="large"
            label="Tokens not paid twice"
            value={count(summary.tokens_not_paid_twice)}
            note={savedNote(summary)}
          />
          <Figure
            size="large"
            tone={budget.left < 0 ? 'bad' : 'good'}
            label="Availability"
            value={percentDown(availability, 2)}
            note={budgetNote(summary)}
          />
        </Figures>
      </Panel>
      <Panel title="Served" note={`last ${period.title}`}>
        <Figures>
          <Figure label="Requests" value={<a href={listOf(period)}>{count(summary.requests)}</a>} />
          <Figure
            label="Failed"
            tone={summary.failed > 0 ? 'bad' : 'quiet'}
            value={<a href={listOf(period, 'status:failed')}>{count(summary.failed)}</a>}
            note={`${count(summary.cancelled)} cancelled`}
          />
          <Figure
            label="First token"
            value={duration(first?.p50)}
            note={first ? `p95 ${duration(first.p95)}` : undefined}
          />
          <Figure
            label="Tokens per second"
            value={count(summary.tokens_per_s)}
            note="of a stream"
          />
          <Figure label="Output tokens" value={count(summary.output_tokens)} />
          <Figure
            label="Cost"
            value={<Cost {...summary} />}
            note={
              !isCostKnown(summary)
                ? 'no price is known'
                : summary.unpriced > 0
                  ? `without ${plural(summary.unpriced, 'request')} of unknown price`
                  : undefined
            }
          />
        </Figures>
      </Panel>
    </>
  );
}

function savedNote({ tokens_not_paid_twice: tokens, saved_cost: cost }: Summary) {
  if (tokens === 0) return undefined;
  return cost === null ? 'price unknown' : usd(cost);
}

/** The list of the requests that a figure counts. */
const listOf = (period: Period, ...terms: string[]): string =>
  `/admin/console/requests${queryOf({ q: [...terms, `last:${period.name}`].join(' ') })}`;

/** The error budget of the period, if it is used up: the control plane itself looks at the last minutes only. */
export function budgetItems(summary: Summary | undefined, period: Period): AttentionItem[] {
  if (!summary || summary.error_budget.left >= 0) return [];
  const { failed, completed, error_budget: budget } = summary;
  return [
    {
      code: 'error_budget',
      severity: 'warning',
      title: 'Availability is below its goal',
      detail: `${plural(failed, 'request')} of ${count(failed + completed)} failed in the last ${period.title}; the goal of ${percent(budget.objective, 1)} allows ${count(Math.floor(budget.allowed))}.`,
      since_at: null,
      link: listOf(period, 'status:failed'),
    },
  ];
}

/** What the error budget of the period still allows. */
function budgetNote({ failed, error_budget: { objective, allowed, left } }: Summary): string {
  const goal = `goal ${percent(objective, 1)}`;
  if (failed === 0) return goal;
  if (left < 0) return `${goal}: ${count(failed)} failed, ${count(Math.floor(allowed))} may`;
  return `${goal}: ${count(Math.floor(left))} more may fail`;
}
