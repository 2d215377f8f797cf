import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import type { ProcessAnswer } from '@millrace/shared/store/inquiries/port';
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
let answers: ProcessAnswer[];
beforeEach(() => {
  answers = [];
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
        inquiries: { ask: async () => ({ answers, heard: answers.length }) },
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

test('the pools of all workers are listed with each connection and key, and what is no pool is left out', async () => {
  const soon = Date.UTC(2026, 10, 30);
  const pool = {
    provider: 'own',
    limit: 8,
    size: 2,
    active: 1,
    idle: 1,
    connecting: 1,
    waiting: 0,
    waitTimeouts: 4,
    reuseRate: 0.5,
    connections: [
      { state: 'active', requests: 3, ageMs: 900 },
      { state: 'idle', requests: 7, ageMs: 800, idleMs: 20 },
    ],
    keys: [
      { index: 0, asideUntil: soon, models: [] },
      {
        index: 1,
        models: [
          { model: 'm', closedUntil: soon, quota: { requests: { remaining: 0, limit: 10 } } },
        ],
      },
      { index: 2, models: [] },
    ],
  };
  answers = [
    { name: 'worker-b', value: { pools: [pool, 'no pool', { provider: 'other' }] } },
    { name: 'worker-a', value: { pools: [pool] } },
    { name: 'worker-c', value: 'an answer of another version' },
  ];
  const { pools } = (await ask('GET', '/admin/upstreams')).json<{ pools: object[] }>();
  expect(pools).toMatchObject([{ worker: 'worker-a' }, { worker: 'worker-b' }]);
  expect(pools[0]).toEqual({
    provider: 'own',
    worker: 'worker-a',
    limit: 8,
    size: 2,
    active: 1,
    idle: 1,
    connecting: 1,
    waiting: 0,
    wait_timeouts: 4,
    reuse_rate: 0.5,
    connections: [
      { state: 'active', requests: 3, age_ms: 900, idle_ms: null },
      { state: 'idle', requests: 7, age_ms: 800, idle_ms: 20 },
    ],
    truncated: true,
    keys: [
      {
        label: 'key 1',
        state: 'set_aside',
        parked_until_at: '2026-11-30T00:00:00.000Z',
        limits: [],
      },
      {
        label: 'key 2',
        state: 'limited',
        parked_until_at: null,
        limits: [
          {
            model: 'm',
            closed_until_at: '2026-11-30T00:00:00.000Z',
            requests: { limit: 10, remaining: 0, resets_at: null },
            tokens: null,
          },
        ],
      },
      { label: 'key 3', state: 'ready', parked_until_at: null, limits: [] },
    ],
  });
});
