import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiFailure, call, needsLogin } from './client.ts';
import { serverNow } from './server-clock.ts';

export type Polled<T> = {
  /** The newest answer; kept while later ones fail. */
  data: T | undefined;
  /** Why the newest call failed; undefined after one that did not. */
  failure: ApiFailure | undefined;
  /** Asks again now, or once more after the call that is under way. */
  refresh(): void;
};

/**
 * Asks a path of the API now and, if `everyMs` is given, again and again: one call at a time, and none while the
 * page is hidden or the operator has to log in. An undefined path asks nothing. `{ago:SECONDS}` in a path stands for
 * the time so long before each call, by the server's clock. A path that is not asked again and again any more keeps its
 * last answer.
 */
export function usePoll<T>(path: string | undefined, everyMs?: number): Polled<T> {
  const [state, setState] = useState<{ path: string | undefined; data?: T; failure?: ApiFailure }>({
    path,
  });
  const askNow = useRef<() => void>(() => {});
  /** The path that was asked until now, and whether its newest call was answered. */
  const asked = useRef<{ path: string | undefined; isAnswered: boolean }>({
    path: undefined,
    isAnswered: false,
  });
  // Read in render: a login makes the calls begin again.
  const isBlocked = needsLogin.value !== 'no';

  useEffect(() => {
    if (isBlocked) return;
    if (asked.current.path !== path) asked.current = { path, isAnswered: false };
    if (path === undefined) return;
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isAsking = false;
    let isAskedAgain = false;
    const ask = async () => {
      if (isAsking || over.signal.aborted) return;
      clearTimeout(timer);
      isAsking = true;
      try {
        const data = await call<T>(withTimes(path), { signal: over.signal });
        if (over.signal.aborted) return;
        asked.current.isAnswered = true;
        setState({ path, data });
      } catch (error) {
        if (over.signal.aborted) return;
        asked.current.isAnswered = false;
        const failure = toFailure(error);
        setState((before) => ({ ...(before.path === path ? before : { path }), failure }));
      } finally {
        isAsking = false;
        // What was asked for meanwhile is newer than this answer.
        if (isAskedAgain && !over.signal.aborted) {
          isAskedAgain = false;
          void ask();
        } else if (everyMs !== undefined && !document.hidden && !over.signal.aborted) {
          timer = setTimeout(() => void ask(), everyMs);
        }
      }
    };
    const onVisible = () => {
      if (!document.hidden && everyMs !== undefined) void ask();
    };
    askNow.current = () => {
      asked.current.isAnswered = false;
      if (isAsking) isAskedAgain = true;
      else void ask();
    };
    document.addEventListener('visibilitychange', onVisible);
    if (everyMs !== undefined || !asked.current.isAnswered) void ask();
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
    String(Math.floor(serverNow() / 1000) - Number(seconds)),
  );

/** For errors of `call` in event handlers. */
export function toFailure(error: unknown): ApiFailure {
  if (error instanceof ApiFailure) return error;
  return new ApiFailure(0, 'console_error', error instanceof Error ? error.message : String(error));
}
