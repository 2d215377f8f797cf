import { attention, attentionFailure } from '../../shell/attention.tsx';
import type { AttentionItem } from '../../shell/attention.tsx';
import { Badge, Empty, Failure, Panel } from '../../ui/panel.tsx';
import type { Tone } from '../../ui/panel.tsx';
import { ago } from '../../ui/format.ts';

const tones: Record<'critical' | 'warning' | 'info', Tone> = {
  critical: 'bad',
  warning: 'warn',
  info: 'info',
};

/** What an operator should look at, worst first; `more`: what the figures of this page show. */
export function AttentionPanel({ more }: { more: readonly AttentionItem[] }) {
  const items = [...(attention.value ?? []), ...more];
  const failure = attentionFailure.value;
  return (
    <Panel title="Needs attention">
      {failure && <Failure failure={failure} />}
      {!failure && items.length === 0 && <Empty>Nothing needs attention.</Empty>}
      <ul class="attention">
        {items.map((item) => (
          <li key={item.code + item.title}>
            <Badge tone={tones[item.severity]}>{item.severity}</Badge>
            <div>
              <strong>
                {item.link === null ? item.title : <a href={item.link}>{item.title}</a>}
              </strong>
              <p class="note">
                {item.detail} {item.since_at !== null && `Since ${ago(item.since_at)}.`}
              </p>
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
