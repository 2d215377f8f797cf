import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
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

/** Milliseconds between two looks. */
const everyMs = 5000;

/** Critical conditions, on every page: a paused queue or a fleet without workers must not be overlooked. */
export function AttentionBanner() {
  const { data, failure } = usePoll<{ data: AttentionItem[] }>('attention', everyMs);
  useEffect(() => {
    // A fleet whose state cannot be read has a message of its own on each page.
    if (!data) {
      if (failure) attention.value ??= [];
      return;
    }
    attention.value = data.data;
    attentionCount.value = data.data.filter(({ severity }) => severity !== 'info').length;
  }, [data, failure]);
  const critical = data?.data.filter(({ severity }) => severity === 'critical') ?? [];
  return (
    <div class="banners" role="status">
      {failure?.code === 'unreachable' && (
        <p class="banner" data-tone="bad">
          The ingress does not answer. What the pages show is from before.
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
