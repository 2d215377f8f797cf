import { useLocation } from 'preact-iso';
import { useCallback } from 'preact/hooks';

/** A part of the page's state that stands in its URL, so that a link has it. An empty value is left out. */
export function useQueryState(
  name: string,
  fallback = '',
): [value: string, set: (value: string) => void] {
  const { path, query, route } = useLocation();
  const value = query[name] ?? fallback;
  const set = useCallback(
    (next: string) => {
      const changed = new URLSearchParams(location.search);
      if (next === fallback) changed.delete(name);
      else changed.set(name, next);
      const text = changed.toString();
      route(text === '' ? path : `${path}?${text}`, true);
    },
    [name, fallback, path, route],
  );
  return [value, set];
}
