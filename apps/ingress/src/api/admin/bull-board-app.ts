import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { Config } from '@millrace/shared/config';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { apiError } from '../../api-error.ts';

export type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

const boardPath = '/admin/queues';

/** Bull Board, on the queue of every shard, as an app that listens nowhere. It guards nothing by itself. */
export async function buildBoard(
  queues: readonly BoardQueue[],
  mode: Config['board'],
): Promise<FastifyInstance> {
  const adapter = new FastifyAdapter();
  adapter.setBasePath(boardPath);
  const access = { readOnlyMode: mode === 'read-only', allowRetries: false };
  // Every shard's queue has the same name, and Bull Board knows queues by their names.
  const namedAfter = (shard: number) => (queues.length > 1 ? { prefix: `shard-${shard}-` } : {});
  createBullBoard({
    queues: queues.map(
      (queue, shard) => new BullMQAdapter(queue, { ...access, ...namedAfter(shard) }),
    ),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Millrace' } },
  });
  const app = Fastify({
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true },
  });
  app.setNotFoundHandler((request, reply) => {
    const { status, error } = apiError('unknown_url', {
      method: request.method,
      path: request.url.slice(0, 100),
    });
    return reply.code(status).send({ error });
  });
  await app.register(adapter.registerPlugin(), { prefix: boardPath });
  await app.ready();
  return app;
}
