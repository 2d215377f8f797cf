import { useEffect, useState } from 'preact/hooks';

/** Milliseconds after which a browser that is never idle counts as idle. */
const longestMs = 500;

/**
 * False until the browser has had time for something else, then true: for what takes long to draw and may come behind the figures
 * of its page.
 */
export function useIdle(): boolean {
  const [isIdle, setIsIdle] = useState(false);
  useEffect(() => {
    const done = () => setIsIdle(true);
    // Safari has none.
    if (typeof requestIdleCallback !== 'function') {
      const timer = setTimeout(done);
      return () => clearTimeout(timer);
    }
    const call = requestIdleCallback(done, { timeout: longestMs });
    return () => cancelIdleCallback(call);
  }, []);
  return isIdle;
}
