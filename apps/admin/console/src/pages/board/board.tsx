import { useMemo } from 'preact/hooks';
import { PageHead } from '../../ui/panel.tsx';
import { useSession } from '../../shell/login.tsx';
import { theme } from '../../shell/theme.ts';
import type { Theme } from '../../shell/theme.ts';
import './board.css';

/** Bull Board inside the console: the jobs of the queue as BullMQ has them. */
export function Board() {
  const session = useSession();
  const shown = theme.value;
  useBoardTheme(shown);
  return (
    <>
      <PageHead
        title="Bull Board"
        lead={
          session?.board === 'remove' ? (
            'The jobs of the queue as BullMQ has them. The config allows to remove them and to pause the queue.'
          ) : (
            <>
              The jobs of the queue as BullMQ has them, to read: <code>board: remove</code> in the
              config allows more.
            </>
          )
        }
      >
        <a class="button" href="/admin/queues" target="_blank" rel="noreferrer">
          In its own tab
        </a>
      </PageHead>
      {/* Another theme loads it anew: it reads its settings once. */}
      <iframe class="board" key={shown} src="/admin/queues" title="Bull Board" />
    </>
  );
}

/** Where `@bull-board/ui` keeps its settings. */
const settingsKey = 'board-settings';
const settingsVersion = 2;

/** Gives Bull Board the console's theme; its other settings stay as the operator chose them. */
function useBoardTheme(shown: Theme): void {
  // Before the frame is loaded.
  useMemo(() => {
    const { state, version } = settingsIn(localStorage.getItem(settingsKey));
    const settings = { state: { ...state, theme: shown }, version: version ?? settingsVersion };
    localStorage.setItem(settingsKey, JSON.stringify(settings));
  }, [shown]);
}

function settingsIn(text: string | null): { state?: object; version?: number } {
  try {
    return (JSON.parse(text ?? '{}') ?? {}) as { state?: object; version?: number };
  } catch {
    return {};
  }
}
