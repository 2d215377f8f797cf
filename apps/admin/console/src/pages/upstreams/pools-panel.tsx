import { count, duration, percent } from '../../ui/format.ts';
import { Meter } from '../../ui/meter.tsx';
import { Panel } from '../../ui/panel.tsx';
import type { Provider } from './targets.ts';
import type { Connection, Pool } from './types.ts';

/** The pools of all workers to one provider: every connection is a square. */
export function ProviderPools({ provider }: { provider: Provider }) {
  const { name, pools, active, limit } = provider;
  return (
    <Panel
      title={
        <>
          Pool of <code>{name}</code>
        </>
      }
      note={`${count(active)} of ${count(limit)} connections in use`}
      actions={<Legend />}
    >
      <div class="pools">
        {pools.map((pool) => (
          <PoolView key={pool.worker} pool={pool} />
        ))}
      </div>
    </Panel>
  );
}

const Legend = () => (
  <span class="legend">
    <Square state="active" /> in use
    <Square state="idle" /> idle
    <Square state="connecting" /> connecting
  </span>
);

const Square = ({ state }: { state: Connection['state'] }) => (
  <span class="square" data-state={state} aria-hidden="true" />
);

function PoolView({ pool }: { pool: Pool }) {
  const { worker, limit, active, idle, connecting, waiting, connections } = pool;
  const share = limit > 0 ? active / limit : 0;
  const hidden = active + idle + connecting - connections.length;
  return (
    <section class="pool" aria-label={`Pool of ${worker}`}>
      <div class="pool-head">
        <code>{worker}</code>
        <span class="pool-share">
          {percent(share)} of {count(limit)}
        </span>
      </div>
      <Meter
        label={`Utilisation of the pool of ${worker}`}
        share={share}
        warnAt={0.7}
        badAt={0.95}
      />
      <div
        class="squares"
        role="img"
        aria-label={`${active} in use, ${idle} idle, ${connecting} connecting`}
      >
        {connections.map((connection, index) => (
          <span
            key={index}
            class="square"
            data-state={connection.state}
            title={titleOf(connection)}
          />
        ))}
        {connections.length === 0 && <span class="note">no connection</span>}
        {hidden > 0 && connections.length > 0 && <span class="note">and {count(hidden)} more</span>}
      </div>
      <p class="note">
        {waiting > 0 && (
          <strong class="pool-waiting">{count(waiting)} requests wait for a connection · </strong>
        )}
        {pool.reuse_rate !== null &&
          `${percent(pool.reuse_rate, 0)} of the calls on a kept connection`}
        {pool.wait_timeouts > 0 && ` · ${count(pool.wait_timeouts)} timed out waiting`}
      </p>
    </section>
  );
}

function titleOf({ state, requests, age_ms: age, idle_ms: idle }: Connection): string {
  if (state === 'connecting') return `connecting for ${duration(age)}`;
  const words = state === 'active' ? 'in use' : `idle for ${duration(idle)}`;
  return `${words}, ${count(requests)} requests, ${duration(age)} old`;
}
