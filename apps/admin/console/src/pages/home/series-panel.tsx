import { useMemo } from 'preact/hooks';
import { Chart } from '../../ui/chart.tsx';
import { count, duration, usd } from '../../ui/format.ts';
import { Empty, Panel } from '../../ui/panel.tsx';

type Bucket = {
  at: string;
  requests: number;
  failed: number;
  rescued: number;
  first_token_p50_ms: number | null;
  first_token_p95_ms: number | null;
  output_tokens: number;
  cost: number | null;
};

/** `GET /admin/series`. */
export type Series = { step_ms: number; from_at: string; to_at: string; data: Bucket[] };

/** The period over time: requests with those that failed or were rescued, first token, tokens, cost. */
export function SeriesPanel({ series }: { series: Series }) {
  const of = useMemo(() => {
    const { data } = series;
    const seconds = series.step_ms / 1000;
    return {
      times: data.map(({ at }) => Date.parse(at)),
      requests: data.map(({ requests }) => requests),
      failed: data.map(({ failed }) => failed),
      rescued: data.map(({ rescued }) => rescued),
      p50: data.map((one) => one.first_token_p50_ms),
      p95: data.map((one) => one.first_token_p95_ms),
      tokens: data.map((one) => one.output_tokens / seconds),
      cost: data.map(({ cost }) => cost),
    };
  }, [series]);
  return (
    <div class="columns">
      <Panel title="Requests" note={`per ${duration(series.step_ms)}`}>
        <Chart
          label="Requests over time"
          times={of.times}
          format={count}
          isWhole
          lines={[
            { label: 'all', color: 'accent', values: of.requests, isFilled: true },
            { label: 'rescued', color: 'seam', values: of.rescued },
            { label: 'failed', color: 'bad', values: of.failed },
          ]}
        />
      </Panel>
      <Panel title="First token">
        <Chart
          label="Time to the first token"
          times={of.times}
          format={duration}
          lines={[
            { label: 'p50', color: 'series-1', values: of.p50 },
            { label: 'p95', color: 'series-2', values: of.p95 },
          ]}
        />
      </Panel>
      <Panel title="Output tokens per second">
        <Chart
          label="Output tokens per second"
          times={of.times}
          format={count}
          lines={[{ label: 'tokens', color: 'series-1', values: of.tokens, isFilled: true }]}
        />
      </Panel>
      <Panel title="Cost" note={`per ${duration(series.step_ms)}`}>
        {of.cost.some((cost) => cost !== null && cost > 0) ? (
          <Chart
            label="Cost over time"
            times={of.times}
            format={usd}
            lines={[{ label: 'cost', color: 'series-3', values: of.cost, isFilled: true }]}
          />
        ) : (
          <Empty>No price is known of what was used, so there is no cost to draw.</Empty>
        )}
      </Panel>
    </div>
  );
}
