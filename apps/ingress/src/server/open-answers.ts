import type { FastifyInstance } from 'fastify';
import type { Connections } from './connections.ts';
import { apiError } from '../api-error.ts';
import { sendError } from './reply.ts';

/**
 * Every HTTP request is answered before a drain ends, also one that still waits for its body or for Redis: a client that
 * sees its connection reset does not know what became of its request, and makes it again.
 */
export function trackAnswers(
  app: FastifyInstance,
  { connections, leaving }: { connections: Pick<Connections, 'addAnswer'>; leaving(): boolean },
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const response = reply.raw;
    // Its client comes again on a new connection, and so to another ingress.
    const closeAfterAnswer = () => {
      if (!response.headersSent) response.setHeader('connection', 'close');
    };
    if (leaving()) closeAfterAnswer();
    if (!request.ws) {
      const answer = connections.addAnswer(() => {
        if (response.headersSent || response.destroyed) return;
        reply.hijack();
        sendError(response, apiError('server_shutting_down'));
      }, closeAfterAnswer);
      response.once('close', answer.remove);
    }
    done();
  });
}
