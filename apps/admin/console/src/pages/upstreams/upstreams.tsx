import { usePoll } from '../../api/use-poll.ts';
import { count } from '../../ui/format.ts';
import { Answer, Empty, Figure, Figures, PageHead, Panel } from '../../ui/panel.tsx';
import { KeyRings } from './key-rings.tsx';
import { ProviderPools } from './pools-panel.tsx';
import { TargetsPanel } from './targets-panel.tsx';
import { byProvider } from './targets.ts';
import type { UpstreamsAnswer } from './types.ts';
import './upstreams.css';

/** Milliseconds between two looks; the workers are asked with each of them. */
const everyMs = 1000;

/** The providers: which targets take requests, the connections to them, and their keys. */
export function Upstreams() {
  const upstreams = usePoll<UpstreamsAnswer>('upstreams', everyMs);
  return (
    <>
      <PageHead
        title="Upstreams"
        lead="The targets that workers ask, the connections to their providers, and the providers' keys."
      />
      <Answer of={upstreams} what="the upstreams">
        {({ targets, pools = [] }) => (
          <>
            <UpstreamFigures targets={targets} pools={pools} />
            <TargetsPanel targets={targets} refresh={upstreams.refresh} />
            {byProvider(pools).map((provider) => (
              <ProviderPools key={provider.name} provider={provider} />
            ))}
            {pools.length === 0 && (
              <Panel title="Pools">
                <Empty>No worker has a pool of connections yet.</Empty>
              </Panel>
            )}
            <KeyRings pools={pools} />
          </>
        )}
      </Answer>
    </>
  );
}

function UpstreamFigures({ targets, pools = [] }: UpstreamsAnswer) {
  const open = targets.filter(({ state }) => state === 'open').length;
  const sum = (name: 'active' | 'idle' | 'connecting' | 'waiting') =>
    pools.reduce((total, pool) => total + pool[name], 0);
  const waiting = sum('waiting');
  return (
    <Panel>
      <Figures>
        <Figure
          label="Targets open"
          tone={open > 0 ? 'bad' : 'good'}
          value={open}
          note={`of ${targets.length}`}
        />
        <Figure label="Connections in use" value={count(sum('active'))} />
        <Figure
          label="Idle"
          value={count(sum('idle'))}
          note={`${count(sum('connecting'))} connecting`}
        />
        <Figure
          label="Waiting for a connection"
          tone={waiting > 0 ? 'warn' : 'quiet'}
          value={count(waiting)}
        />
      </Figures>
    </Panel>
  );
}
