import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiFailure, call, needsLogin } from './client.ts';

export type Polled<T> = {
  /** The newest answer; kept while later ones fail. */
  data: T | undefined;
  /** Why the newest call failed; undefined after one that did not. */
  failure: ApiFailure | undefined;
  /** Asks again now. */
  refresh(): void;
};

/**
 * Asks a path of the API now and, if `everyMs` is given, again and again: one call at a time, and none while the
 * page is hidden or the operator has to log in. An undefined path asks nothing. `{ago:SECONDS}` in a path stands for
 * the time so long before each call.
 */
export function usePoll<T>(path: string | undefined, everyMs?: number): Polled<T> {
  const [state, setState] = useState<{ path: string | undefined; data?: T; failure?: ApiFailure }>({
    path,
  });
  const askNow = useRef<() => void>(() => {});
  // Read in render: a login makes the calls begin again.
  const isBlocked = needsLogin.value !== 'no';

  useEffect(() => {
    if (path === undefined || isBlocked) return;
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isAsking = false;
    let asksAgain = false;
    const ask = async () => {
      if (isAsking) asksAgain = true;
      if (isAsking || over.signal.aborted) return;
      clearTimeout(timer);
      isAsking = true;
      try {
        const data = await call<T>(withTimes(path), { signal: over.signal });
        if (!over.signal.aborted) setState({ path, data });
      } catch (error) {
        if (over.signal.aborted) return;
        const failure = toFailure(error);
        setState((before) => ({ ...(before.path === path ? before : { path }), failure }));
      } finally {
        isAsking = false;
        // What was asked for meanwhile is newer than this answer.
        if (asksAgain && !over.signal.aborted) {
          asksAgain = false;
          void ask();
        } else if (everyMs !== undefined && !document.hidden && !over.signal.aborted) {
          timer = setTimeout(() => void ask(), everyMs);
        }
      }
    };
    const onVisible = () => {
      if (!document.hidden && everyMs !== undefined) void ask();
    };
    askNow.current = () => void ask();
    document.addEventListener('visibilitychange', onVisible);
    void ask();
    return () => {
      over.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', onVisible);
    };
  }, [path, everyMs, isBlocked]);

  const refresh = useCallback(() => askNow.current(), []);
  const isOfPath = state.path === path;
  return {
    data: isOfPath ? state.data : undefined,
    failure: isOfPath ? state.failure : undefined,
    refresh,
  };
}

/**
 * False until each of them has its first answer or failure; true ever after. A page that shows all of it at once moves
 * nothing later.
 */
export function useAllKnown(...polled: readonly Polled<unknown>[]): boolean {
  const wasKnown = useRef(false);
  wasKnown.current ||= polled.every(({ data, failure }) => data !== undefined || failure);
  return wasKnown.current;
}

const withTimes = (path: string): string =>
  path.replaceAll(/\{ago:(\d+)\}/g, (_, seconds: string) =>
    String(Math.floor(Date.now() / 1000) - Number(seconds)),
  );

/** For errors of `call` in event handlers. */
export function toFailure(error: unknown): ApiFailure {
  if (error instanceof ApiFailure) return error;
  return new ApiFailure(0, 'console_error', error instanceof Error ? error.message : String(error));
}
