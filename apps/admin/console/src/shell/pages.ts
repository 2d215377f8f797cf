import type { IconName } from './icons.tsx';

/** The pages in the order of the navigation. */
export const sections: readonly {
  title: string;
  pages: readonly { title: string; path: string; icon: IconName }[];
}[] = [
  {
    title: 'Now',
    pages: [
      { title: 'Home', path: '/admin', icon: 'home' },
      { title: 'Requests', path: '/admin/console/requests', icon: 'requests' },
      { title: 'Queue', path: '/admin/console/queue', icon: 'queue' },
      { title: 'Fleet', path: '/admin/console/fleet', icon: 'fleet' },
      { title: 'Upstreams', path: '/admin/console/upstreams', icon: 'upstreams' },
    ],
  },
  {
    title: 'Accounts',
    pages: [
      { title: 'Usage', path: '/admin/console/usage', icon: 'usage' },
      { title: 'Keys', path: '/admin/console/keys', icon: 'keys' },
    ],
  },
  {
    title: 'Records',
    pages: [
      { title: 'Audit', path: '/admin/console/audit', icon: 'audit' },
      { title: 'Debug log', path: '/admin/console/debug', icon: 'debug' },
      { title: 'Webhooks', path: '/admin/console/webhooks', icon: 'webhooks' },
      { title: 'Config', path: '/admin/console/config', icon: 'config' },
      { title: 'Bull Board', path: '/admin/console/board', icon: 'board' },
    ],
  },
  {
    title: 'Try it',
    pages: [
      { title: 'Playground', path: '/admin/console/playground', icon: 'playground' },
      { title: 'Client setup', path: '/admin/console/setup', icon: 'setup' },
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
