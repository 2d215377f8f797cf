import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Connections } from './connections.ts';
import { apiError } from '../api-error.ts';
import { sendError } from './reply.ts';
import type { ErrorForm } from './reply.ts';

/**
 * Ensures that every HTTP request is answered before a drain ends, also one that still waits for its body or
 * for Redis: a client whose connection is reset cannot know whether its request was created, and sends it
 * again.
 */
export function trackAnswers(
  app: FastifyInstance,
  { connections, leaving }: { connections: Pick<Connections, 'addAnswer'>; leaving(): boolean },
  errorFormOf: (request: FastifyRequest) => ErrorForm,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const response = reply.raw;
    // Its client then opens a new connection, to another ingress.
    const closeAfterAnswer = () => {
      if (!response.headersSent) response.setHeader('connection', 'close');
    };
    if (leaving()) closeAfterAnswer();
    if (!request.ws) {
      const answer = connections.addAnswer(() => {
        if (response.headersSent || response.destroyed) return;
        reply.hijack();
        const { errorBody, errorHead } = errorFormOf(request);
        sendError(response, apiError('server_shutting_down'), errorHead?.(request.id), errorBody);
      }, closeAfterAnswer);
      response.once('close', answer.remove);
    }
    done();
  });
}
