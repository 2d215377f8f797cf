import { useLocation } from 'preact-iso';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

export type ListKeys = {
  /** The keys of the rows in their order; none: the list cannot be moved in. */
  keys: readonly string[];
  hrefOf(index: number): string | undefined;
  /** Scrolls to a row, and focuses its link once it is there. */
  reveal(index: number): void;
};

/** The selected row's key: j and k move it, Enter or o opens it, Escape drops it. */
export function useListKeys(list: ListKeys): string | undefined {
  const { route } = useLocation();
  const [selected, setSelected] = useState<string | undefined>(undefined);
  const latest = useRef({ ...list, selected });
  latest.current = { ...list, selected };

  // An effect that waits for a frame would miss a key pressed as soon as the rows are there.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const { keys, hrefOf, reveal, selected: at } = latest.current;
      if (keys.length === 0 || isTyping(event)) return;
      const index = at === undefined ? -1 : keys.indexOf(at);
      if (event.key === 'j' || event.key === 'k') {
        const next =
          event.key === 'j' ? Math.min(index + 1, keys.length - 1) : Math.max(index - 1, 0);
        // The next key may come before the next rendering.
        latest.current.selected = keys[next];
        setSelected(keys[next]);
        // What had the focus, perhaps a link of the navigation, must not get the Enter that follows.
        if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
        reveal(next);
        event.preventDefault();
      } else if (event.key === 'Escape') {
        setSelected(undefined);
      } else if ((event.key === 'Enter' || event.key === 'o') && index >= 0) {
        // A focused link or button does what it does.
        if (event.key === 'Enter' && document.activeElement !== document.body) return;
        const href = hrefOf(index);
        if (href !== undefined) route(href);
      }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [route]);
  return selected;
}

/** Whether a key press is meant for a field, a dialog, or the browser. */
export function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.closest('input, textarea, select, dialog') !== null;
}
