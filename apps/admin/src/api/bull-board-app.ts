import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { Config } from '@millrace/shared/config';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { AdminError, requestIdOf } from './admin-error.ts';

export type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

const boardPath = '/admin/queues';

/** Bull Board for the queues of all shards, as an app that does not listen. It does no authentication itself. */
export async function buildBoard(
  queues: readonly BoardQueue[],
  mode: Config['board'],
): Promise<FastifyInstance> {
  const adapter = new FastifyAdapter();
  adapter.setBasePath(boardPath);
  const access = { readOnlyMode: mode === 'read-only', allowRetries: false };
  // The queues of all shards have the same name, but Bull Board identifies queues by name.
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
    const what = `${request.method} ${request.url.slice(0, 100)}`;
    const error = new AdminError(404, 'unknown_url', `Unknown request URL: ${what}.`);
    return reply.code(error.status).send(error.bodyFor(requestIdOf(request.headers)));
  });
  await app.register(adapter.registerPlugin(), { prefix: boardPath });
  await app.ready();
  return app;
}
