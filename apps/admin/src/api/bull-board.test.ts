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
