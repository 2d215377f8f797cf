import type { ComponentChildren } from 'preact';
import { useLocation } from 'preact-iso';
import { useEffect, useState } from 'preact/hooks';
import { needsLogin } from '../api/client.ts';
import { notice } from '../ui/actions.tsx';
import { AttentionBanner } from './attention.tsx';
import { Login } from './login.tsx';
import { Navigation } from './navigation.tsx';
import { PageBoundary } from './page-boundary.tsx';
import { pageOf } from './pages.ts';
import { Shortcuts } from './shortcuts.tsx';

/** What stands around every page: navigation, banner, login form, messages. */
export function Shell({ children }: { children: ComponentChildren }) {
  const { path } = useLocation();
  const [isMenuOpen, setMenuOpen] = useState(false);
  const page = pageOf(path);
  useEffect(() => {
    document.title = page ? `${page.title} · Millrace` : 'Millrace';
    setMenuOpen(false);
  }, [path]);

  return (
    <div class="shell" data-menu={isMenuOpen ? 'open' : 'closed'}>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <div class="topbar">
        <button
          type="button"
          class="menu"
          aria-expanded={isMenuOpen}
          aria-controls="navigation"
          onClick={() => setMenuOpen(!isMenuOpen)}
        >
          Menu
        </button>
        <span class="brand">Millrace</span>
      </div>
      <Navigation />
      <main id="main" tabIndex={-1}>
        {/* Of a session that has expired the page stays; after a logout, also in another tab, none does. */}
        {needsLogin.value !== 'first' && (
          <>
            <AttentionBanner />
            <PageBoundary path={path}>{children}</PageBoundary>
          </>
        )}
      </main>
      {needsLogin.value !== 'no' && <Login />}
      <Shortcuts />
      <div class="notices" role="status" aria-live="polite">
        {notice.value && (
          <div class="notice" data-tone={notice.value.tone}>
            <span>{notice.value.text}</span>
            <button type="button" aria-label="Dismiss" onClick={() => (notice.value = undefined)}>
              ×
            </button>
          </div>
        )}
      </div>
    </div>
  );
}
