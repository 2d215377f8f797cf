import { useLocation } from 'preact-iso';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Dialog } from '../ui/actions.tsx';
import { isTyping } from '../ui/list-keys.ts';

/** The page that follows the key `g`. */
const goTo: Readonly<Record<string, { title: string; path: string }>> = {
  h: { title: 'Home', path: '/admin' },
  r: { title: 'Requests', path: '/admin/console/requests' },
  q: { title: 'Queue', path: '/admin/console/queue' },
  f: { title: 'Fleet', path: '/admin/console/fleet' },
  u: { title: 'Upstreams', path: '/admin/console/upstreams' },
  p: { title: 'Playground', path: '/admin/console/playground' },
};

/** Milliseconds in which the second key has to follow. */
const pairMs = 1500;

/** The keyboard shortcuts of all pages; `?` lists them. */
export function Shortcuts() {
  const { route } = useLocation();
  const [isOpen, setOpen] = useState(false);
  const firstAt = useRef(-Infinity);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      const follows = performance.now() - firstAt.current < pairMs;
      firstAt.current = event.key === 'g' ? performance.now() : -Infinity;
      const page = goTo[event.key];
      if (follows && page) route(page.path);
      else if (event.key === '?') setOpen(true);
      else if (event.key === '/') {
        const filter = document.querySelector<HTMLInputElement>('[data-filter]');
        filter?.focus();
        if (filter) event.preventDefault();
      }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [route]);
  if (!isOpen) return null;
  return (
    <Dialog title="Keyboard" onClose={() => setOpen(false)}>
      <dl class="keys">
        <dt>j k</dt>
        <dd>next and previous row</dd>
        <dt>Enter</dt>
        <dd>open the row</dd>
        <dt>/</dt>
        <dd>to the filter</dd>
        {Object.entries(goTo).map(([key, { title }]) => (
          <>
            <dt>g {key}</dt>
            <dd>{title}</dd>
          </>
        ))}
        <dt>?</dt>
        <dd>this list</dd>
      </dl>
    </Dialog>
  );
}
