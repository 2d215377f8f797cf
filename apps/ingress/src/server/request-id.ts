import type { IncomingMessage } from 'node:http';
import { newRequestId } from '@millrace/shared/domain/request';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/**
 * Every answer has this header, including refusals. An answer about a request has the id of that request; any
 * other has an id of its own, which belongs to no request.
 */
export const requestIdHeader = 'x-request-id';

/** The id of an answer until its request is known. */
export const makeRequestId = (): string => newRequestId(0, Date.now());

/** Ids of handshakes, which ws answers by itself. */
const handshakes = new WeakMap<IncomingMessage, string>();

/** Sends `request.id` with every answer. Call it before any other hook may answer. */
export function sendRequestIds(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.setHeader(requestIdHeader, request.id);
    if (request.headers.upgrade !== undefined) handshakes.set(request.raw, request.id);
    done();
  });
}

/** The same for those that open a WebSocket. */
export function sendHandshakeIds(sockets: FastifyInstance['websocketServer']): void {
  sockets.on('headers', (headers, request) => {
    headers.push(`${requestIdHeader}: ${handshakes.get(request) ?? makeRequestId()}`);
  });
}

/** The answer is about this request. */
export function adoptId(reply: FastifyReply, id: string): void {
  const { request }: { request: FastifyRequest } = reply;
  request.id = id;
  // Bypasses fastify, because most answers do. Too late for an answer that has begun.
  if (!reply.raw.headersSent) reply.raw.setHeader(requestIdHeader, id);
}
