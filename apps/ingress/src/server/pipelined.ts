import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { apiError } from '../api-error.ts';

/**
 * The most requests under way on one connection. Node serves pipelined requests all at once; no client needs
 * more than a few.
 */
export const maxPipelined = 16;

/**
 * Throws a 429 for a request above the limit. A client that needs more concurrency opens more connections,
 * which are bounded.
 */
export function boundPipelined(app: FastifyInstance): void {
  const underWay = new WeakMap<Socket, number>();
  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw;
    const count = (underWay.get(socket) ?? 0) + 1;
    underWay.set(socket, count);
    reply.raw.once('close', () => underWay.set(socket, (underWay.get(socket) ?? 1) - 1));
    done(count > maxPipelined ? tooMany() : undefined);
  });
}

/** The answer that is being sent on a connection, from a private property of Node: there is no public one. */
export const answerOn = (
  socket: Socket & { _httpMessage?: ServerResponse | null },
): ServerResponse | undefined => socket._httpMessage ?? undefined;

/** Once the answers to all earlier requests on the connection have been sent, or it is gone. */
export function afterAnswers(socket: Socket, then: () => void): void {
  const answer = answerOn(socket);
  if (answer) answer.once('close', () => afterAnswers(socket, then));
  else then();
}

const tooMany = () => apiError('too_many_requests_on_connection', { max: maxPipelined });
