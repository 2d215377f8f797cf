import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyInstance } from 'fastify';

export type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

const boardPath = '/admin/queues';

/** Bull Board, on the queue of every shard. */
export async function boardRoutes(scope: FastifyInstance, queues: BoardQueue[]): Promise<void> {
  const adapter = new FastifyAdapter();
  adapter.setBasePath(boardPath);
  createBullBoard({
    queues: queues.map((queue, shard) => new BullMQAdapter(queue, namedAfter(shard))),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Millrace' } },
  });
  // Every shard's queue has the same name, and Bull Board knows queues by their names.
  function namedAfter(shard: number) {
    return queues.length > 1 ? { prefix: `shard-${shard}-` } : {};
  }
  await scope.register(adapter.registerPlugin(), { prefix: boardPath });
}
