import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { Config } from '@millrace/shared/config';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { AdminError, requestIdOf } from './admin-error.ts';

export type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

const boardPath = '/admin/queues';

/** What the pages may change, in a badge on each of them. */
const badges: Readonly<Record<Config['board'], { label: string; color: string }>> = {
  'read-only': { label: 'read-only', color: '#5b6b7f' },
  remove: { label: 'may remove jobs', color: '#b45309' },
};

/** Bull Board's page loads fonts of another host; without them it takes those of the system. */
const foreignLink = /<link[^>]*href="https?:[^>]*>/g;

/** The pages ask no other host, and only the console may frame them. Their first page has inline styles. */
const boardHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'self'",
    "frame-ancestors 'self'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
};

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
    options: { uiConfig: { boardTitle: 'Millrace', environment: badges[mode] } },
  });
  const app = Fastify({
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true },
  });
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.headers(boardHeaders);
    const isPage = String(reply.getHeader('content-type')).startsWith('text/html');
    if (!isPage || typeof payload !== 'string') return payload;
    const page = payload.replaceAll(foreignLink, '');
    reply.header('content-length', Buffer.byteLength(page));
    return page;
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
