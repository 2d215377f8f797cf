import type { Config } from '@millrace/shared/config';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { BoardQueue } from './bull-board-app.ts';
import { apiError } from '../../api-error.ts';
import { factsOf } from '../../observe/request-log.ts';

export type { BoardQueue } from './bull-board-app.ts';

const boardPath = '/admin/queues';

/**
 * The calls that `board: remove` allows: each ends a request with a clear error, or pauses the fleet visibly
 * for all operators. Any other change of a job would not change its request, because the log says how it
 * ended: a retried job would end again without a call of its provider.
 */
const changes =
  /\/api\/queues\/(pause|resume|[^/]+\/(pause|resume|empty|clean\/[^/]+|(?!retry\/)[^/]+\/clean))\/?$/;

/**
 * Bull Board, read-only unless the config says otherwise. It takes 12 MB and few installations ever open it,
 * so the first request for one of its pages loads it.
 */
export function boardRoutes(
  scope: FastifyInstance,
  queues: readonly BoardQueue[],
  mode: Config['board'],
): void {
  let opening: Promise<FastifyInstance> | undefined;
  const open = async () => {
    opening ??= import('./bull-board-app.ts').then(({ buildBoard }) => buildBoard(queues, mode));
    return opening.catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
  };
  for (const url of [boardPath, `${boardPath}/*`]) {
    scope.route({
      method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      url,
      // Before the body is read, because the board reads it itself.
      async onRequest(request, reply) {
        // Bull Board hides the buttons, but still serves the calls behind them.
        if (!mayServe(request, mode)) return refuseChange(reply);
        const board = await open();
        reply.hijack();
        board.routing(request.raw, reply.raw);
        return reply;
      },
      handler: () => undefined,
    });
  }
}

function mayServe({ method, url }: FastifyRequest, mode: Config['board']): boolean {
  if (method === 'GET' || method === 'HEAD') return true;
  return mode === 'remove' && changes.test(url.split('?')[0] ?? '');
}

// Not thrown, because Bull Board's own error handler would turn it into a 500 with a stack.
function refuseChange(reply: FastifyReply): FastifyReply {
  const { status, error, headers } = apiError('read_only');
  factsOf(reply.raw).code = error.code;
  return reply.code(status).headers(headers).send({ error });
}
