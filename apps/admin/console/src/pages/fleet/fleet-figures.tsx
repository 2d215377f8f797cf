import { count, duration, percent, unknown } from '../../ui/format.ts';
import { Figure, Figures, Panel } from '../../ui/panel.tsx';
import { Meter } from '../../ui/meter.tsx';
import { isServing } from './rows.ts';
import type { Row } from './rows.ts';
import type { FleetAnswer, Process } from './types.ts';

/** The fleet in figures: who serves, what is under way, whether all agree. */
export function FleetFigures(props: {
  fleet: FleetAnswer;
  rows: readonly Row[];
  /** Undefined: not known. */
  agreed: boolean | undefined;
}) {
  const { fleet, rows, agreed } = props;
  const versions = new Set(rows.map(({ version }) => version));
  return (
    <Panel>
      <Figures>
        <Serving label="Ingresses" role="ingress" rows={rows} />
        <Serving label="Workers" role="worker" rows={rows} />
        <Figure label="Streams" value={count(sum(rows, 'streams'))} note="with a reader" />
        <Figure label="Runs" value={count(sum(rows, 'runs'))} note="at the workers" />
        <Figure
          label={versions.size > 1 ? 'Versions' : 'Version'}
          tone={versions.size > 1 ? 'warn' : 'quiet'}
          value={versions.size > 1 ? versions.size : ([...versions][0] ?? unknown)}
          note={versions.size > 1 ? [...versions].join(', ') : 'of all processes'}
        />
        <Figure
          label="Config"
          tone={agreed === false ? 'bad' : 'quiet'}
          value={
            <a href="/admin/console/config">
              {agreed === undefined ? unknown : agreed ? 'agreed' : 'differs'}
            </a>
          }
          note={
            agreed === false
              ? 'not all processes use the same'
              : fleet.processes.length > 1
                ? 'the same everywhere'
                : undefined
          }
        />
      </Figures>
    </Panel>
  );
}

function Serving(props: { label: string; role: Process['role']; rows: readonly Process[] }) {
  const own = props.rows.filter(({ role }) => role === props.role);
  const serving = own.filter(isServing).length;
  const tone = serving === 0 ? 'bad' : serving < own.length ? 'warn' : 'good';
  return (
    <Figure
      label={props.label}
      tone={tone}
      value={serving}
      note={serving === own.length ? 'all serve' : `of ${own.length} serve`}
    />
  );
}

/** Of the processes that are there: one that has died is listed for some seconds, with its last counts. */
const sum = (rows: readonly Process[], name: string): number =>
  rows
    .filter(({ listening }) => listening)
    .reduce((total, { counts }) => total + (counts[name] ?? 0), 0);

const bytes = (value: number): string => {
  if (value >= 1 << 30) return `${(value / (1 << 30)).toFixed(1)} GiB`;
  return value >= 1 << 20
    ? `${(value / (1 << 20)).toFixed(1)} MiB`
    : `${Math.ceil(value / 1024)} KiB`;
};

/** What the processes share: Redis with the queue, and the ledger's backlog in it. */
export function RedisPanel({ fleet }: { fleet: FleetAnswer }) {
  const { queue, ledger, redis } = fleet;
  const { used_bytes: used, max_bytes: max } = redis;
  const paused = queue.paused_shards;
  return (
    <Panel title="Redis" note={`${redis.shards} ${redis.shards === 1 ? 'shard' : 'shards'}`}>
      <Figures>
        <Figure
          label="Memory"
          value={used === null ? unknown : bytes(used)}
          note={
            max === null || used === null ? (
              'no limit known'
            ) : (
              <>
                {percent(used / max)} of {bytes(max)}
                <Meter label="Memory of Redis" share={used / max} warnAt={0.75} badAt={0.9} />
              </>
            )
          }
        />
        <Figure
          label="Waiting requests"
          tone={queue.waiting > 0 ? 'warn' : 'quiet'}
          value={<a href="/admin/console/queue">{count(queue.waiting)}</a>}
          note={queue.oldest_ms === null ? 'none' : `the oldest for ${duration(queue.oldest_ms)}`}
        />
        <Figure
          label="Queue"
          tone={paused.length > 0 ? 'bad' : 'good'}
          value={paused.length > 0 ? 'paused' : 'open'}
          note={paused.length > 0 ? `shards ${paused.join(', ')}` : undefined}
        />
        <Figure
          label="Ledger"
          tone={
            ledger === null
              ? 'quiet'
              : ledger.problem !== null
                ? 'bad'
                : ledger.dropped > 0
                  ? 'warn'
                  : 'good'
          }
          value={ledger === null ? 'none' : ledger.problem === null ? 'writes' : 'fails'}
          note={
            ledger === null
              ? 'no database in the config'
              : `${count(ledger.waiting)} entries to write${ledger.dropped > 0 ? `, ${count(ledger.dropped)} dropped` : ''}`
          }
        />
      </Figures>
      {typeof ledger?.problem === 'string' && <p class="failure">{ledger.problem}</p>}
    </Panel>
  );
}
