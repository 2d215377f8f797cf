import { useRef } from 'preact/hooks';
import type { Polled } from '../../api/use-poll.ts';
import type { Live } from '../../api/types.ts';
import { count } from '../../ui/format.ts';
import { Answer, Figure, Figures, Panel } from '../../ui/panel.tsx';

/** The streams that run at this moment. */
export function LivePanel({ live }: { live: Polled<Live> }) {
  const rate = useTokenRate(live.data);
  return (
    <Panel title="Now" note={<a href="/admin/console/requests?view=live">all running requests</a>}>
      <Answer of={live} what="the running streams">
        {({ totals }) => (
          <Figures>
            <Figure
              label="Running"
              value={
                <>
                  {totals.running > 0 && <span class="live-dot pulse" aria-hidden="true" />}
                  {count(totals.running)}
                </>
              }
            />
            <Figure
              label="Waiting"
              tone={totals.queued > 0 ? 'warn' : 'quiet'}
              value={<a href="/admin/console/queue">{count(totals.queued)}</a>}
            />
            <Figure
              label="Running after a rescue"
              tone={totals.rescued_running > 0 ? 'seam' : 'quiet'}
              value={count(totals.rescued_running)}
            />
            <Figure label="Tokens per second" value={rate === undefined ? '–' : count(rate)} />
          </Figures>
        )}
      </Answer>
    </Panel>
  );
}

/** Seconds between two looks of which a rate is made. */
const maxSeconds = 5;

/** Tokens that all streams got in the last second, of those that are in two looks. */
function useTokenRate(live: Live | undefined): number | undefined {
  const before = useRef<Live | undefined>(undefined);
  const rate = useRef<number | undefined>(undefined);
  if (live && live !== before.current) {
    const last = before.current;
    if (last) {
      const seconds = (Date.parse(live.at) - Date.parse(last.at)) / 1000;
      const known = new Map(last.running.map((one) => [one.id, one.output_tokens]));
      let tokens = 0;
      for (const one of live.running) {
        tokens += Math.max(0, one.output_tokens - (known.get(one.id) ?? 0));
      }
      // A longer time has streams that ended in between, and a list that was cut lacks some.
      const isWhole = seconds > 0 && seconds < maxSeconds && !live.truncated;
      rate.current = isWhole ? Math.round(tokens / seconds) : undefined;
    }
    before.current = live;
  }
  return rate.current;
}
