import { once } from 'node:events';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import { expect, onTestFinished, test } from 'vitest';
import { buildApp } from '../app.ts';
import { memoryAudit } from '../audit/audit.fixture.ts';
import { keyOptions } from '../keys/keys.fixture.ts';
import { boardRoutes } from './bull-board.ts';
import type { BoardQueue } from './bull-board.ts';
import { noFleet } from './fleet.fixture.ts';

const token = 'token';

test.each([
  ['read-only', 'read-only'],
  ['remove', 'may remove jobs'],
] as const)(
  'the pages of a board that is %s say so, and ask no other host',
  async (mode, badge) => {
    const audit = memoryAudit();
    const queue = { name: 'requests', metaValues: { version: 'bullmq' } } as unknown as BoardQueue;
    const app = buildApp({
      audit,
      ledger: undefined,
      fleet: noFleet({}),
      keys: keyOptions(),
      token,
      addRoutes: (routes) => boardRoutes(routes, { queues: async () => [queue], mode, audit }),
      onError: () => {},
    });
    onTestFinished(async () => app.close());
    const headers = { [controlPlaneToken]: token };
    // The board answers on the socket itself.
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const answer = await fetch(`${url}/admin/queues`, { headers });
    const page = await answer.text();
    expect(page).toContain(badge);
    expect(page).toContain('<base href="/admin/queues/"');
    expect(page).toMatch(/<\/html>\s*$/);
    expect(page).not.toMatch(/(?:href|src)="(?:https?:)?\/\//);
    const policy = answer.headers.get('content-security-policy');
    expect(policy).toContain("default-src 'self'");
    expect(policy).toContain("frame-ancestors 'self'");
  },
);

test('a change whose caller left before the answer is not recorded as done', async () => {
  const audit = memoryAudit();
  const pausing = Promise.withResolvers<void>();
  const queue = {
    name: 'requests',
    metaValues: { version: 'bullmq' },
    pause: () => {
      pausing.resolve();
      return new Promise(() => {});
    },
  } as unknown as BoardQueue;
  const app = buildApp({
    audit,
    ledger: undefined,
    fleet: noFleet({}),
    keys: keyOptions(),
    token,
    addRoutes: (routes) =>
      boardRoutes(routes, { queues: async () => [queue], mode: 'remove', audit }),
    onError: () => {},
  });
  onTestFinished(async () => app.close());
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const call = request({
    host: '127.0.0.1',
    port,
    method: 'PUT',
    path: '/admin/queues/api/queues/requests/pause',
    headers: { [controlPlaneToken]: token },
  });
  const ended = once(call, 'error');
  call.end();
  await pausing.promise;
  call.destroy(new Error('left'));
  await ended;
  await expect
    .poll(() => audit.entries)
    .toMatchObject([{ action: 'queue.change', outcome: 'client_gone' }]);
});
