import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { call, needsLogin, queryOf } from '../../api/client.ts';
import type { ApiFailure } from '../../api/client.ts';
import { toFailure } from '../../api/use-poll.ts';
import type { LogItem, LogPage } from './log-items.ts';

/** Most items of a log that the page holds, which is some 100 MB of chunks; a longer answer ends there. */
const maxItems = 100_000;
const pageItems = 5000;
/**
 * Milliseconds between two looks at the log of a running request: more for a long one, because what is new makes the page
 * draw all of it again.
 */
const pauseOf = ({ length }: readonly LogItem[]): number => 1000 + length / 10;

export type Log = {
  items: readonly LogItem[];
  state: 'loading' | 'ready' | 'expired' | 'failed';
  isTruncated: boolean;
  /** How often the log was read to its end. */
  looks: number;
  failure: ApiFailure | undefined;
  /** Reads on after a failure. */
  refresh(): void;
};

type LogState = Omit<Log, 'refresh'>;

const nothing: LogState = {
  items: [],
  state: 'loading',
  isTruncated: false,
  looks: 0,
  failure: undefined,
};

/**
 * The log of a request's stream; of a running one, it grows. Nothing is asked while the page is hidden or the operator has
 * to log in, or if there can be no log (`no`) or none yet (`later`).
 */
export function useLog(id: string, isOpen: boolean, hasLog: 'yes' | 'no' | 'later'): Log {
  const [log, setLog] = useState<LogState>(nothing);
  const held = useRef<{ id: string; items: LogItem[]; after: string }>({
    id,
    items: [],
    after: '',
  });

  const [tries, setTries] = useState(0);
  // Read in render: a login makes the reading go on.
  const isBlocked = needsLogin.value !== 'no';

  useEffect(() => {
    if (hasLog === 'no') setLog({ ...nothing, state: 'expired' });
    if (hasLog !== 'yes' || isBlocked) return;
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (held.current.id !== id) held.current = { id, items: [], after: '' };
    const own = held.current;

    const read = async () => {
      try {
        for (;;) {
          const path = `requests/${encodeURIComponent(id)}/log${queryOf({ after: own.after, limit: pageItems })}`;
          const page = await call<LogPage>(path, { signal: over.signal });
          if (page.expired === true) {
            setLog({ ...nothing, items: own.items, state: 'expired' });
            return;
          }
          if (page.data.length > 0) own.items = own.items.concat(page.data).slice(0, maxItems);
          own.after = page.next ?? page.data.at(-1)?.entry ?? own.after;
          const isTruncated = own.items.length >= maxItems;
          if (page.data.length > 0 || page.next === null) {
            setLog(({ looks }) => ({
              items: own.items,
              state: 'ready',
              isTruncated,
              looks: page.next === null ? looks + 1 : looks,
              failure: undefined,
            }));
          }
          if (isTruncated) return;
          if (page.next === null || page.data.length === 0) break;
        }
      } catch (error) {
        // Without a login, the effect begins again after it.
        if (over.signal.aborted || needsLogin.value !== 'no') return;
        const failure = toFailure(error);
        const isGone = failure.status === 410 || failure.status === 404;
        const state = isGone ? 'expired' : 'failed';
        setLog({ ...nothing, items: own.items, state, failure });
        if (isGone) return;
      }
      if (isOpen && !over.signal.aborted) timer = setTimeout(() => void look(), pauseOf(own.items));
    };
    const look = async () => {
      if (!document.hidden) await read();
      else timer = setTimeout(() => void look(), pauseOf(own.items));
    };
    void look();
    return () => {
      over.abort();
      clearTimeout(timer);
    };
  }, [id, isOpen, hasLog, isBlocked, tries]);

  return useMemo(() => ({ ...log, refresh: () => setTries((count) => count + 1) }), [log]);
}
