import { Cost } from '../../ui/cost.tsx';
import { clock, count, duration, plural, shortId, unknown } from '../../ui/format.ts';
import { Badge } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import type { Column } from '../../ui/table.tsx';
import type { Row } from './rows.ts';

const tones: Readonly<Record<Row['status'], Tone>> = {
  queued: 'warn',
  running: 'info',
  ending: 'quiet',
  completed: 'good',
  failed: 'bad',
  cancelled: 'quiet',
};

export function StatusBadge({ status }: { status: Row['status'] }) {
  return (
    <Badge tone={tones[status]}>
      {/* Without an animation: hundreds of them would keep the compositor busy. */}
      {status === 'running' && <span class="dot" aria-hidden="true" />}
      {status}
    </Badge>
  );
}

/** A target as `provider/model`, the provider first because it decides more. */
export function Target({ provider, model }: { provider: string | null; model: string | null }) {
  if (provider === null) return <span class="note">{unknown}</span>;
  return (
    <span title={`${provider}/${model ?? ''}`}>
      {provider}
      {model !== null && <span class="note"> / {model}</span>}
    </span>
  );
}

export const requestColumns: readonly Column<Row>[] = [
  {
    title: 'Id',
    width: '84px',
    cell: ({ id }) => (
      <span class="mono" title={id}>
        {shortId(id)}
      </span>
    ),
  },
  { title: 'Time', width: '76px', isMinor: true, cell: ({ createdAt }) => clock(createdAt) },
  { title: 'Model', cell: ({ model }) => <span title={model}>{model}</span> },
  {
    title: 'Key',
    width: '66px',
    isMinor: true,
    cell: ({ key }) => (key === null ? <span class="note">{unknown}</span> : key),
  },
  {
    title: 'Status',
    width: '148px',
    cell: ({ status, error }) => (
      <>
        <StatusBadge status={status} />
        {error && (
          <span class="error-code" title={error.message}>
            {' '}
            {error.code}
          </span>
        )}
      </>
    ),
  },
  {
    title: 'Target',
    isMinor: true,
    cell: ({ provider, targetModel }) => <Target provider={provider} model={targetModel} />,
  },
  {
    title: 'First token',
    width: '84px',
    isNumber: true,
    isMinor: true,
    cell: ({ firstTokenMs }) => duration(firstTokenMs),
  },
  {
    title: 'Duration',
    width: '72px',
    isNumber: true,
    cell: ({ durationMs }) => duration(durationMs),
  },
  {
    title: 'Tokens',
    width: '58px',
    isNumber: true,
    isMinor: true,
    cell: ({ outputTokens }) => count(outputTokens),
  },
  {
    title: 'Cost',
    width: '68px',
    isNumber: true,
    isMinor: true,
    cell: ({ cost }) => <Cost cost={cost} />,
  },
  {
    title: 'Rescues',
    width: '116px',
    isNumber: true,
    isMinor: true,
    cell: ({ rescues, maxGapMs }) =>
      rescues === 0 ? (
        <span class="note">{unknown}</span>
      ) : (
        <span
          title={`${plural(rescues, 'rescue')}${maxGapMs === null ? '' : `, longest gap ${duration(maxGapMs)}`}`}
        >
          <Badge tone="seam">
            {rescues} {maxGapMs !== null && `· ${duration(maxGapMs)}`}
          </Badge>
        </span>
      ),
  },
];
