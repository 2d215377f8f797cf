/** The pages in the order of the navigation. */
export const sections: readonly {
  title: string;
  pages: readonly { title: string; path: string; icon: string }[];
}[] = [
  {
    title: 'Now',
    pages: [
      { title: 'Home', path: '/admin', icon: '◆' },
      { title: 'Requests', path: '/admin/console/requests', icon: '≋' },
      { title: 'Queue', path: '/admin/console/queue', icon: '≡' },
      { title: 'Fleet', path: '/admin/console/fleet', icon: '▦' },
      { title: 'Upstreams', path: '/admin/console/upstreams', icon: '⇡' },
    ],
  },
  {
    title: 'Accounts',
    pages: [
      { title: 'Usage', path: '/admin/console/usage', icon: '∑' },
      { title: 'Keys', path: '/admin/console/keys', icon: '⚿' },
    ],
  },
  {
    title: 'Records',
    pages: [
      { title: 'Audit', path: '/admin/console/audit', icon: '✓' },
      { title: 'Debug log', path: '/admin/console/debug', icon: '⌕' },
      { title: 'Webhooks', path: '/admin/console/webhooks', icon: '↯' },
      { title: 'Config', path: '/admin/console/config', icon: '⚙' },
      { title: 'Bull Board', path: '/admin/console/board', icon: '▤' },
    ],
  },
  {
    title: 'Try it',
    pages: [
      { title: 'Playground', path: '/admin/console/playground', icon: '▷' },
      { title: 'Client setup', path: '/admin/console/setup', icon: '⌘' },
    ],
  },
];

/** The page that a path belongs to: a request's page belongs to the list. */
export function pageOf(path: string): { title: string; path: string } | undefined {
  const all = sections.flatMap(({ pages }) => pages);
  const trimmed = path.replace(/\/+$/, '');
  if (trimmed === '/admin/console') return all[0];
  return all.find(
    (page) =>
      trimmed === page.path || (page.path !== '/admin' && trimmed.startsWith(`${page.path}/`)),
  );
}
