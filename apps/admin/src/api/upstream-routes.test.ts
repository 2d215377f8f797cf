import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import type { TargetHold } from '@millrace/shared/store/target-holds/port';
import { beforeEach, expect, test } from 'vitest';
import { buildApp } from '../app.ts';
import { memoryAudit } from '../audit/audit.fixture.ts';
import { keyOptions } from '../keys/keys.fixture.ts';
import { noFleet } from './fleet.fixture.ts';
import { upstreamRoutes } from './upstream-routes.ts';

// Orders for targets that the config has no more. What workers make of orders is in test/system/operators.test.ts.

const token = 'token';
const gone = 'gone/llama3:8b';

let stored: Map<string, TargetHold>;
beforeEach(() => {
  stored = new Map([[gone, { by: 'ops', at: 5000 }]]);
});

function ask(method: 'GET' | 'POST', url: string) {
  const app = buildApp({
    audit: memoryAudit(),
    ledger: undefined,
    fleet: noFleet({}),
    keys: keyOptions(),
    token,
    addRoutes: (routes) =>
      upstreamRoutes(routes, {
        reports: async () => [],
        holds: {
          read: async () => new Map(stored),
          add: async () => 'known',
          remove: async (target) => stored.delete(target),
        },
        models: {},
        isReady: () => true,
        onError: () => {},
      }),
    onError: () => {},
  });
  return app.inject({ method, url, headers: { [controlPlaneToken]: token } });
}

test('a target that left the config is listed while it is open by an order, and can be closed', async () => {
  const listed = await ask('GET', '/admin/upstreams');
  expect(listed.json()).toMatchObject({ targets: [{ target: gone, held: { by: 'ops' } }] });
  const closed = await ask('POST', `/admin/upstreams/${encodeURIComponent(gone)}/close`);
  expect(closed.statusCode).toBe(200);
  expect(closed.json()).toMatchObject({ target: gone, state: null, opened_by: null, held: null });
  expect(stored.size).toBe(0);
});

test('closing a target that neither the config nor an order has is answered with 404', async () => {
  const answer = await ask('POST', '/admin/upstreams/gone%2Fother/close');
  expect(answer.statusCode).toBe(404);
  expect(answer.json()).toMatchObject({ error: { code: 'target_not_found' } });
});
