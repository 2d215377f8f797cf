import type { FastifyInstance } from 'fastify';
import type { Services } from '../services.ts';
import { apiError } from '../errors.ts';
import { sendError } from '../api/reply.ts';

/**
 * Whatever is asked over HTTP is answered before a drain ends, also what is no stream and what still
 * waits for its body or for Redis: a client that sees its connection reset does not know what became
 * of its request, and makes it again.
 */
export function trackAnswers(
  app: FastifyInstance,
  { connections, leaving }: Pick<Services, 'connections' | 'leaving'>,
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
