import type { WebSocket } from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Principal } from '../../auth/api-keys.ts';
import { addressOf } from '../../auth/client-address.ts';
import { createBackpressure } from '../../delivery/backpressure.ts';
import type { Services } from '../../services.ts';
import { checkKey } from '../../server/limits.ts';
import type { Authenticator } from '../../auth/authenticate.ts';
import { apiError, errorOf } from '../../api-error.ts';
import type { ApiError } from '../../api-error.ts';
import { clientOf, recordRefusal } from '../../observe/record-refusal.ts';
import { enforceSocketLimits } from './limits.ts';
import { awaitKey } from './authentication.ts';
import { createSocketCloser } from './close-codes.ts';
import { upgradeRequired, whyNoSocket } from './upgrade.ts';
import { serveSocket } from './connection.ts';
import { jobFrames } from './frame-handlers.ts';
import type { SocketProtocol } from './protocol.ts';
import { socketOperation } from './schema.ts';
import type { Operation } from '../openapi/operation.ts';
import { responseSocketOperation } from '../responses/description.ts';
import { responseFrames } from '../responses/socket/protocol.ts';

export function socketRoutes(
  app: FastifyInstance,
  services: Services,
  authenticator: Authenticator,
): void {
  const route = (
    protocol: SocketProtocol,
    operation: Operation,
    refuse: (request: FastifyRequest) => ApiError,
  ) =>
    app.route({
      method: 'GET',
      url: protocol.path,
      config: { operation },
      onRequest: (request, _reply, done) => done(request.ws ? whyNoSocket(request.raw) : undefined),
      handler: (request) => {
        throw refuse(request);
      },
      wsHandler: (socket, request) =>
        openSocket(socket, request, { services, authenticator, protocol }),
    });
  route(jobFrames, socketOperation, ({ headers }) =>
    upgradeRequired('This is a WebSocket: upgrade the connection.', headers.connection),
  );
  // Clients that try a WebSocket first go on over HTTP if a proxy has removed the upgrade, but not after a 426.
  route(responseFrames, responseSocketOperation, ({ method, url }) =>
    apiError('method_not_supported', {
      method,
      path: url.slice(0, 100),
      headers: { allow: 'POST' },
    }),
  );
}

type SocketDeps = { services: Services; authenticator: Authenticator; protocol: SocketProtocol };

/** Until the client is authenticated, only a small message is accepted. */
function openSocket(
  socket: WebSocket,
  request: FastifyRequest,
  { services, authenticator, protocol }: SocketDeps,
): void {
  const { config, bodies, metrics, refused, draining, connectionCounts } = services;
  const { limits } = config;
  const raw = request.raw.socket;
  const address = addressOf(request);
  const backpressure = createBackpressure(socket);
  const closer = createSocketCloser(socket, raw, metrics.socketEnded);
  const socketLimits = enforceSocketLimits({
    socket,
    raw,
    backpressure,
    bodies,
    limits,
    onUnauthenticated: () =>
      pending?.refuse(apiError('invalid_api_key', { problem: 'too_long', countAs: 'no_key' })),
    onBusy() {
      refused({ reason: 'request_bodies', address });
      closer.closeUnread('busy');
    },
    onUnfinished: () => closer.closeUnread('unfinished'),
  });
  const serve = (principal: Principal) => {
    socketLimits.liftKeyLimit();
    const { headers } = request;
    serveSocket({ socket, closer, backpressure, address, headers, protocol }, principal, services);
  };
  let pending: ReturnType<typeof awaitKey> | undefined;
  if (request.principal as Principal | undefined) serve(request.principal);
  else {
    pending = awaitKey({
      socket,
      closer,
      timeoutMs: limits.socketAuthMs,
      verifyKey(key) {
        if (draining()) throw apiError('server_shutting_down');
        const verdict = authenticator.verifyKey(request, key);
        if (verdict.kind === 'refused') throw errorOf(verdict);
        checkKey(connectionCounts, request, verdict.principal.keyId);
        return verdict.principal;
      },
      onRefused: (error) => recordRefusal(refused, error, clientOf(request)),
      onAuthenticated: serve,
    });
  }
}
