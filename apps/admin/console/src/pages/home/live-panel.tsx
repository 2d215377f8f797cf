import { useRef } from 'preact/hooks';
import type { Polled } from '../../api/use-poll.ts';
import type { Live } from '../../api/types.ts';
import { count } from '../../ui/format.ts';
import { Answer, Figure, Figures, Panel } from '../../ui/panel.tsx';
import { tokenRate } from './token-rate.ts';

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

/** The rate between the newest two looks. */
function useTokenRate(live: Live | undefined): number | undefined {
  const before = useRef<Live | undefined>(undefined);
  const rate = useRef<number | undefined>(undefined);
  if (live && live !== before.current) {
    rate.current = before.current && tokenRate(before.current, live);
    before.current = live;
  }
  return rate.current;
}
