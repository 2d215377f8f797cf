import type { Config } from '@millrace/shared/config';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AuditWriter } from '@millrace/shared/store/audit/audit-writer';
import { requesterOf } from '../audit/requester.ts';
import { AdminError } from './admin-error.ts';
import type { BoardQueue } from './bull-board-app.ts';

export type { BoardQueue } from './bull-board-app.ts';

const boardPath = '/admin/queues';

/**
 * The calls that `board: remove` allows: each ends a request with a clear error, or pauses the fleet visibly
 * for all operators. Any other change of a job would not change its request, because the log says how it
 * ended: a retried job would end again without a call of its provider.
 */
const changes =
  /\/api\/queues\/(pause|resume|[^/]+\/(pause|resume|empty|clean\/[^/]+|(?!retry\/)[^/]+\/clean))\/?$/;

export type BoardOptions = {
  /** Of all shards. */
  queues(): Promise<readonly BoardQueue[]>;
  /** Of the config in use. */
  readonly mode: Config['board'];
  audit: Pick<AuditWriter, 'record'>;
};

/**
 * Bull Board, read-only unless the config says otherwise. It takes 12 MB and few installations ever open it,
 * so the first request for one of its pages loads it.
 */
export function boardRoutes(app: FastifyInstance, { queues, mode, audit }: BoardOptions): void {
  let opening: Promise<FastifyInstance> | undefined;
  const load = async () => {
    const { buildBoard } = await import('./bull-board-app.ts');
    return buildBoard(await queues(), mode);
  };
  const open = () => {
    opening ??= load().catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };
  for (const url of [boardPath, `${boardPath}/*`]) {
    app.route({
      method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      url,
      // Before the body is read, because the board reads it itself.
      async onRequest(request, reply) {
        // Bull Board hides the buttons, but still serves the calls behind them.
        if (!mayServe(request, mode)) {
          reply.header('allow', 'GET, HEAD');
          throw readOnly();
        }
        const board = await open();
        reply.hijack();
        recordChange(request, reply, audit);
        board.routing(request.raw, reply.raw);
        return reply;
      },
      handler: () => undefined,
    });
  }
}

function mayServe({ method, url }: FastifyRequest, mode: Config['board']): boolean {
  if (method === 'GET' || method === 'HEAD') return true;
  return mode === 'remove' && changes.test(pathOf(url));
}

const pathOf = (url: string): string => url.split('?')[0] ?? '';

/** The hook that records other changes does not run for an answer that Bull Board sends itself. */
function recordChange(
  request: FastifyRequest,
  { raw }: FastifyReply,
  audit: BoardOptions['audit'],
): void {
  const { method, url } = request;
  if (method === 'GET' || method === 'HEAD') return;
  raw.once('close', () => {
    const answered = raw.statusCode < 400 ? 'ok' : `status_${raw.statusCode}`;
    void audit.record({
      ...requesterOf(request),
      action: 'queue.change',
      target: pathOf(url).slice(boardPath.length),
      // A caller that left before the answer does not know the outcome, and neither does this process.
      outcome: raw.writableFinished ? answered : 'client_gone',
      detail: { method },
    });
  });
}

const readOnly = () =>
  new AdminError(
    405,
    'read_only',
    'These pages do not change jobs. `board: remove` in the config allows to remove them and to pause the queue; a request is made again by its client.',
  );
