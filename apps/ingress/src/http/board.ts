import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { Config } from '@millrace/shared/config';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { factsOf } from './request-log.ts';

export type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

const boardPath = '/admin/queues';

/**
 * What `board: remove` allows: each of these ends a request with a clear error, or stops the fleet in
 * sight of everybody. Any other change of a job would be none of its request, whose log says how it ended:
 * a retried job would end again without a call of its provider.
 */
const changes =
  /\/api\/queues\/(pause|resume|[^/]+\/(pause|resume|empty|clean\/[^/]+|(?!retry\/)[^/]+\/clean))\/?$/;

/** Bull Board, on the queue of every shard. Read-only unless the config says otherwise. */
export async function boardRoutes(
  scope: FastifyInstance,
  queues: BoardQueue[],
  mode: Config['board'],
): Promise<void> {
  const adapter = new FastifyAdapter();
  adapter.setBasePath(boardPath);
  const access = { readOnlyMode: mode === 'read-only', allowRetries: false };
  createBullBoard({
    queues: queues.map(
      (queue, shard) => new BullMQAdapter(queue, { ...access, ...namedAfter(shard) }),
    ),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Millrace' } },
  });
  // Every shard's queue has the same name, and Bull Board knows queues by their names.
  function namedAfter(shard: number) {
    return queues.length > 1 ? { prefix: `shard-${shard}-` } : {};
  }
  await scope.register(async (board) => {
    // Bull Board hides the buttons, but still serves the calls behind them.
    board.addHook('onRequest', async (request, reply) => {
      if (!mayServe(request, mode)) await refuseChange(reply);
    });
    await board.register(adapter.registerPlugin(), { prefix: boardPath });
  });
}

function mayServe({ method, url }: FastifyRequest, mode: Config['board']): boolean {
  if (method === 'GET' || method === 'HEAD') return true;
  return mode === 'remove' && changes.test(url.split('?')[0] ?? '');
}

// Not thrown: Bull Board's own error handler would make a 500 of it, with a stack.
function refuseChange(reply: FastifyReply): FastifyReply {
  factsOf(reply.raw).code = 'read_only';
  return reply
    .code(405)
    .header('allow', 'GET, HEAD')
    .send({
      error: {
        message:
          'These pages do not change jobs. `board: remove` in the config allows to remove them and to pause the queue; a request is made again by its client.',
        type: 'invalid_request_error',
        param: null,
        code: 'read_only',
      },
    });
}
