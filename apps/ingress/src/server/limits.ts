import type { DropArgument, Server, Socket } from 'node:net';
import type { Config } from '@millrace/shared/config';
import { createJsonMeter } from '@millrace/shared/domain/json-bounds';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ConnectionCounts } from './connection-counts.ts';
import type { Refusal } from '../observe/refusals.ts';
import { addressOf } from '../auth/client-address.ts';
import { requestBounds, tooComplex } from './json-shape.ts';
import { apiError } from '../api-error.ts';

/* Bounds of incoming data, in number, size and time: connections, request heads, request bodies. */

declare module 'fastify' {
  interface FastifyRequest {
    /** The request's body is not held any more. Idempotent; the end of its response does the same. */
    releaseBody: () => void;
  }
}

/** Bytes of the request bodies that this ingress holds. */
export type BodyBudget = { held: number };

/** Counts bytes as held until the returned function is called; further calls of it do nothing. */
export function holdBytes(budget: BodyBudget, bytes: number): () => void {
  let held = bytes;
  budget.held += held;
  return () => {
    budget.held -= held;
    held = 0;
  };
}

/** Node checks for connections past a timeout this many times within the timeout, and at least this often. */
const checksPerTimeout = 4;
const maxCheckMs = 5000;

/** Bytes of a request's head, its first line and all its headers: Node's own default, by name. */
const maxHeadBytes = 16 * 1024;

/** Milliseconds in which a client can read its refusal, while the server discards further data. */
export const lingerMs = 2000;

/** Options of Node's server. Only the arrival of requests has a timeout: streams may be silent for long, and requests may wait. */
export function serverLimits({ headTimeoutMs, requestTimeoutMs }: Config['limits']) {
  const shortest = Math.min(headTimeoutMs, requestTimeoutMs);
  return {
    maxHeaderSize: maxHeadBytes,
    // request-head.ts checks it with the rest of the head, and answers better than Node.
    requireHostHeader: false,
    headersTimeout: shortest,
    connectionsCheckingInterval: Math.min(maxCheckMs, Math.ceil(shortest / checksPerTimeout)),
  };
}

/**
 * Counts the connections of a server, with TLS after their handshake. `isProxy`: whether an address is that of a trusted
 * proxy. `room`: connections that the process may have, with TLS also those in their handshake; one more is closed without
 * an answer.
 */
export function countConnections(
  server: Server,
  isTls: boolean,
  counts: ConnectionCounts<Socket>,
  isProxy: (address: string) => boolean,
  refused: (refusal: Refusal) => void,
  room: number,
) {
  // Below the system's limit of file descriptors; at that limit the process could not open anything.
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
  // The response of a WebSocket closes with the socket.
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
 * Bounds request bodies while they arrive: the memory of all of them until the queue has them (503), and the depth and
 * size of each one's JSON (400, 413).
 */
export function boundBodies(
  app: FastifyInstance,
  budget: BodyBudget,
  limits: Config['limits'],
): void {
  app.decorateRequest('releaseBody', () => {});
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (hasBody(request)) {
      if (isEncoded(request)) {
        done(apiError('unsupported_content_encoding'));
        return;
      }
      let own = 0;
      let isOver = false;
      const maxBytes = limits.requestBodiesBytes;
      const bounds = requestBounds(limits);
      const copies = isForm(request) ? formCopies : 1;
      const meter = isForm(request) ? undefined : createJsonMeter(bounds);
      /** Ends the parsing with an error. Without a listener, the error would end the process. */
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
        // Answered already: further data is not held.
        if (isOver) return;
        own += part.length * copies;
        budget.held += part.length * copies;
        if (budget.held > maxBytes) {
          refuse(tooManyBodies());
          return;
        }
        const excess = meter?.push(part);
        if (excess) refuse(tooComplex(excess, bounds));
      });
    }
    done(null, payload);
  });
}

/**
 * For an answer before the end of its request's body. Fastify would close the connection with the answer, and
 * unread bytes would cause a reset. So further data is discarded, for `lingerMs` at most.
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

/** A form is held as it arrived, and as JSON with its files in base64: as their text, and in the text of the whole. */
const formCopies = 4;

/** No JSON: pass-through/form.ts bounds its fields. */
const isForm = ({ headers }: FastifyRequest): boolean =>
  /^multipart\/form-data\b/i.test(headers['content-type'] ?? '');

/** A body is sent upstream unchanged, and a compressed one could inflate without bound. */
const isEncoded = ({ headers }: FastifyRequest): boolean =>
  !/^(identity)?$/i.test(headers['content-encoding'] ?? '');

const tooManyBodies = () =>
  Object.assign(apiError('server_busy', { with: 'bodies' }), { statusCode: 503 });
