import { LocationProvider, Route, Router, lazy } from 'preact-iso';
import { Home } from './pages/home/home.tsx';
import { loaded } from './shell/loaded.ts';
import { Shell } from './shell/shell.tsx';
import { NotFound } from './pages/not-found.tsx';

/* One page is one folder in pages/; all but the first are loaded when they are opened. */

const RequestList = lazy(
  async () => (await loaded(() => import('./pages/requests/request-list.tsx'))).RequestList,
);
const RequestDetail = lazy(
  async () => (await loaded(() => import('./pages/requests/request-detail.tsx'))).RequestDetail,
);
const Fleet = lazy(async () => (await loaded(() => import('./pages/fleet/fleet.tsx'))).Fleet);
const Upstreams = lazy(
  async () => (await loaded(() => import('./pages/upstreams/upstreams.tsx'))).Upstreams,
);
const Queue = lazy(async () => (await loaded(() => import('./pages/queue/queue.tsx'))).Queue);
const Board = lazy(async () => (await loaded(() => import('./pages/board/board.tsx'))).Board);
const ClientSetup = lazy(
  async () => (await loaded(() => import('./pages/setup/setup.tsx'))).ClientSetup,
);
const Playground = lazy(
  async () => (await loaded(() => import('./pages/playground/playground.tsx'))).Playground,
);
const KeyList = lazy(async () => (await loaded(() => import('./pages/keys/key-list.tsx'))).KeyList);
const KeyDetail = lazy(
  async () => (await loaded(() => import('./pages/keys/key-detail.tsx'))).KeyDetail,
);
const UsagePage = lazy(
  async () => (await loaded(() => import('./pages/usage/usage.tsx'))).UsagePage,
);
const AuditPage = lazy(
  async () => (await loaded(() => import('./pages/audit/audit.tsx'))).AuditPage,
);
const DebugPage = lazy(
  async () => (await loaded(() => import('./pages/debug/debug.tsx'))).DebugPage,
);
const ConfigPage = lazy(
  async () => (await loaded(() => import('./pages/config/config.tsx'))).ConfigPage,
);
const WebhooksPage = lazy(
  async () => (await loaded(() => import('./pages/webhooks/webhooks.tsx'))).WebhooksPage,
);

export function App() {
  return (
    <LocationProvider scope="/admin">
      <Shell>
        <Router>
          <Route path="/admin" component={Home} />
          <Route path="/admin/console" component={Home} />
          <Route path="/admin/console/requests" component={RequestList} />
          <Route path="/admin/console/requests/:id" component={RequestDetail} />
          <Route path="/admin/console/fleet" component={Fleet} />
          <Route path="/admin/console/upstreams" component={Upstreams} />
          <Route path="/admin/console/queue" component={Queue} />
          <Route path="/admin/console/board" component={Board} />
          <Route path="/admin/console/setup" component={ClientSetup} />
          <Route path="/admin/console/playground" component={Playground} />
          <Route path="/admin/console/keys" component={KeyList} />
          <Route path="/admin/console/keys/:id" component={KeyDetail} />
          <Route path="/admin/console/usage" component={UsagePage} />
          <Route path="/admin/console/audit" component={AuditPage} />
          <Route path="/admin/console/debug" component={DebugPage} />
          <Route path="/admin/console/config" component={ConfigPage} />
          <Route path="/admin/console/webhooks" component={WebhooksPage} />
          <Route default component={NotFound} />
        </Router>
      </Shell>
    </LocationProvider>
  );
}
