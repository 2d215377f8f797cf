import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { actionsDone } from '../ui/actions.tsx';
import type { ApiFailure } from '../api/client.ts';
import { usePoll } from '../api/use-poll.ts';

export type AttentionItem = {
  code: string;
  severity: 'critical' | 'warning' | 'info';
  title: string;
  detail: string;
  since_at: string | null;
  /** A path of the console. */
  link: string | null;
};

/** What needs attention, worst first; undefined until it is known. */
export const attention = signal<readonly AttentionItem[] | undefined>(undefined);
/** How many of these are more than information. */
export const attentionCount = signal(0);

/** Why it is not known now; what is shown is from before. */
export const attentionFailure = signal<ApiFailure | undefined>(undefined);

/** Milliseconds between two looks. */
const everyMs = 5000;

/** Critical conditions, on every page: a paused queue or a fleet without workers must not be overlooked. */
export function AttentionBanner() {
  const { data, failure, refresh } = usePoll<{ data: AttentionItem[] }>('attention', everyMs);
  // What an operator has just done may have ended a condition, or made one.
  const done = actionsDone.value;
  useEffect(() => {
    if (done > 0) refresh();
  }, [done]);
  useEffect(
    () => () => {
      attention.value = undefined;
      attentionCount.value = 0;
    },
    [],
  );
  useEffect(() => {
    attentionFailure.value = failure;
    if (!data) return;
    attention.value = data.data;
    attentionCount.value = data.data.filter(({ severity }) => severity !== 'info').length;
  }, [data, failure]);
  const critical = data?.data.filter(({ severity }) => severity === 'critical') ?? [];
  return (
    <div class="banners" role="status">
      {failure && data && (
        <p class="banner" data-tone="bad">
          {failure.message} What the pages show may be from before.
        </p>
      )}
      {critical.map((item) => (
        <p class="banner" data-tone="bad" key={item.code + item.title}>
          <strong>{item.title}</strong> {item.detail}{' '}
          {item.link !== null && <a href={item.link}>Look</a>}
        </p>
      ))}
    </div>
  );
}
