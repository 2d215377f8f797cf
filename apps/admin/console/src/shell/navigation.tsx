import { useLocation } from 'preact-iso';
import { attentionCount } from './attention.tsx';
import { Icon } from './icons.tsx';
import { pageOf, sections } from './pages.ts';
import { LogoutButton } from './login.tsx';
import { theme, toggleTheme } from './theme.ts';

export function Navigation() {
  const { path } = useLocation();
  const current = pageOf(path)?.path;
  return (
    <nav id="navigation" aria-label="Pages">
      <a class="brand" href="/admin">
        <BrandMark />
        Millrace
      </a>
      {sections.map(({ title, pages }) => (
        <div class="nav-section" key={title}>
          <h2>{title}</h2>
          <ul>
            {pages.map((page) => (
              <li key={page.path}>
                <a href={page.path} aria-current={page.path === current ? 'page' : undefined}>
                  <Icon name={page.icon} />
                  {page.title}
                  {page.path === '/admin' && attentionCount.value > 0 && (
                    <span class="count" title="What needs attention">
                      {attentionCount.value}
                    </span>
                  )}
                </a>
              </li>
            ))}
          </ul>
        </div>
      ))}
      <div class="nav-foot">
        <button type="button" onClick={toggleTheme}>
          {theme.value === 'dark' ? 'Light' : 'Dark'}
        </button>
        <LogoutButton />
      </div>
    </nav>
  );
}

const BrandMark = () => (
  <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
    <rect width="32" height="32" rx="7" class="mark-ground" />
    <path d="M4 12c4 0 4 3 8 3s4-3 8-3 4 3 8 3" class="mark-wave" />
    <path d="M4 20c4 0 4 3 8 3s4-3 8-3 4 3 8 3" class="mark-wave second" />
  </svg>
);
