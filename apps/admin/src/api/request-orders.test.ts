import Fastify from 'fastify';
import { newRequestId } from '@millrace/shared/domain/request';
import { expect, test } from 'vitest';
import { requestOrders } from './request-orders.ts';
import type { OrderSource } from './request-orders.ts';

test('a request that an operator cancels leaves the queue and the concurrent requests of its key', async () => {
  const id = newRequestId(0, Date.now());
  const done: string[] = [];
  const source = {
    log: {
      describe: async () => ({ meta: { id, keyId: 'team' } }),
      finish: async () => ({ kind: 'finished' }),
    },
    release: async (keyId: string, of: string) => void done.push(`release ${keyId} ${of}`),
    removeJob: async (of: string) => void done.push(`remove ${of}`),
    isReady: () => true,
    onError(error: unknown) {
      throw error;
    },
  } as unknown as OrderSource;
  const app = Fastify();
  requestOrders(app, source);
  const answer = await app.inject({ method: 'POST', url: `/admin/requests/${id}/cancel` });
  expect(answer.json()).toEqual({ id, status: 'cancelled' });
  expect(done).toEqual([`remove ${id}`, `release team ${id}`]);
  await app.close();
});
