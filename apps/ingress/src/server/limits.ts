import type { DropArgument, Server, Socket } from 'node:net';
import type { Config } from '@millrace/shared/config';
import { createJsonMeter } from '@millrace/shared/domain/json-bounds';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ConnectionCounts } from './connection-counts.ts';
import type { Refusal } from '../observe/refusals.ts';
import { addressOf } from '../auth/client.ts';
import { requestBounds, tooComplex } from './json-shape.ts';
import { apiError } from '../api-error.ts';

/* What may arrive, and how slowly: connections, request heads, request bodies. */

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's body is not held any more. Idempotent; its response's end does it, too. */
    releaseBody: () => void;
  }
}

/** Bytes of the request bodies that this ingress holds. */
export type BodyBudget = { held: number };

/** Parts of a timeout after which Node looks again for connections that are over it. */
const looksPerTimeout = 4;
const longestLookMs = 5000;

/** Bytes of a request's head, its first line and all its headers: Node's own default, by name. */
const maxHeadBytes = 16 * 1024;

/** Milliseconds that a client has to read its refusal, while what it still sends is passed over. */
export const lingerMs = 2000;

/** Options of Node's server. Streams may be silent for long and requests may wait: only arriving is timed. */
export function serverLimits({ headTimeoutMs, requestTimeoutMs }: Config['limits']) {
  const shortest = Math.min(headTimeoutMs, requestTimeoutMs);
  return {
    maxHeaderSize: maxHeadBytes,
    // Looked at with the rest of the head, for a better answer than Node's.
    requireHostHeader: false,
    headersTimeout: shortest,
    connectionsCheckingInterval: Math.min(longestLookMs, Math.ceil(shortest / looksPerTimeout)),
  };
}

/**
 * Counts the connections of a server; with TLS, those that have shaken hands. `isProxy`: one that
 * tells for whom it asks, and is believed. `room`: connections that the process may have at all, with TLS also
 * those that shake hands; one more is closed unheard.
 */
export function countConnections(
  server: Server,
  isTls: boolean,
  counts: ConnectionCounts<Socket>,
  isProxy: (address: string) => boolean,
  refused: (refusal: Refusal) => void,
  room: number,
) {
  // Below the system's limit of file descriptors: at it, what the process needs itself would fail.
  if (Number.isFinite(room)) server.maxConnections = room;
  server.on('drop', (dropped?: DropArgument) => {
    refused({ reason: 'too_few_descriptors', address: dropped?.remoteAddress ?? '' });
  });
  server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
    const peer = socket.remoteAddress ?? '';
    const outcome = counts.opened(socket, isProxy(peer) ? undefined : peer);
    socket.once('close', () => counts.closed(socket));
    if (outcome === 'counted') return;
    refused({ reason: 'connection_unheard', address: peer });
    socket.destroy();
  });
}

/** Throws a 429 for a request on a connection that is one too many of its client's address. */
export function checkAddress(
  counts: ConnectionCounts<Socket>,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const { socket } = request.raw;
  const address = addressOf(request);
  const verdict = counts.admitAddress(socket, address);
  if (verdict === 'refused') throw apiError('too_many_connections', { of: 'address' });
  // Of a WebSocket, when that closes.
  if (verdict === 'counted') reply.raw.once('close', () => counts.served(socket, address));
}

/** Throws a 429 for a request on a connection that is one too many of its key. */
export function checkKey(
  counts: ConnectionCounts<Socket>,
  request: FastifyRequest,
  key: string | undefined,
): void {
  const isRefused = key !== undefined && counts.admitKey(request.raw.socket, key) === 'refused';
  if (isRefused) throw apiError('too_many_connections', { of: 'key' });
}

/**
 * Bounds request bodies while they arrive: the memory that all of them take until the queue has them
 * (503), and what is in each one's JSON (400, 413).
 */
export function boundBodies(
  app: FastifyInstance,
  budget: BodyBudget,
  limits: Config['limits'],
): void {
  const maxBytes = limits.requestBodiesBytes;
  const bounds = requestBounds(limits);
  app.decorateRequest('releaseBody', () => {});
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (hasBody(request)) {
      if (isEncoded(request)) {
        done(apiError('unsupported_content_encoding'));
        return;
      }
      let own = 0;
      let isOver = false;
      const meter = createJsonMeter(bounds);
      /** Ends the parsing with this answer. Where nothing parses any more, an error would end the process. */
      const refuse = (refusal: Error) => {
        if (payload.listenerCount('error') > 0) payload.emit('error', refusal);
        request.releaseBody();
      };
      // In two steps: V8 allocates a function that is written into a property in old space (decisions/2026-11-30-old-space-promotion.md).
      const release = () => {
        isOver = true;
        budget.held -= own;
        own = 0;
      };
      request.releaseBody = release;
      reply.raw.once('close', () => request.releaseBody());
      payload.on('data', (part: Buffer) => {
        // Answered already: nobody holds what still comes.
        if (isOver) return;
        own += part.length;
        budget.held += part.length;
        if (budget.held > maxBytes) {
          refuse(tooManyBodies());
          return;
        }
        const excess = meter.push(part);
        if (excess) refuse(tooComplex(excess, bounds));
      });
    }
    done(null, payload);
  });
}

/**
 * For an answer that comes before the end of a body: fastify would close the connection with it, and
 * what is unread then takes it back. What still comes is passed over, for a while.
 */
export function discardBody(request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request;
  reply.removeHeader('connection');
  reply.raw.once('finish', () => {
    const timer = setTimeout(() => {
      if (!raw.complete) raw.socket.destroy();
    }, lingerMs);
    raw.socket.once('close', () => clearTimeout(timer));
  });
}

const hasBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** It goes upstream as it came, and what is packed has no bound. */
const isEncoded = ({ headers }: FastifyRequest): boolean =>
  !/^(identity)?$/i.test(headers['content-encoding'] ?? '');

const tooManyBodies = () =>
  Object.assign(apiError('server_busy', { with: 'bodies' }), { statusCode: 503 });
