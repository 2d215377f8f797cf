import type { WebSocket } from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Principal } from '../../auth/api-keys.ts';
import { createReadingGate } from '../../delivery/backpressure.ts';
import type { Services } from '../../services.ts';
import { checkKey } from '../../server/limits.ts';
import { socketPath } from '../../auth/authenticate.ts';
import type { Entrance } from '../../auth/authenticate.ts';
import { shuttingDown, unauthorized } from '../../errors.ts';
import { watchArrival } from './limits.ts';
import { awaitKey } from './authentication.ts';
import { createSocketEnd } from './close-codes.ts';
import { upgradeRequired, whyNoSocket } from './upgrade.ts';
import { serveSocket } from './connection.ts';

export function socketRoutes(app: FastifyInstance, services: Services, entrance: Entrance): void {
  app.route({
    method: 'GET',
    url: socketPath,
    onRequest: (request, _reply, done) => done(request.ws ? whyNoSocket(request.raw) : undefined),
    handler: ({ headers }) => {
      throw upgradeRequired('This is a WebSocket: upgrade the connection.', headers.connection);
    },
    wsHandler: (socket, request) => openSocket(socket, request, services, entrance),
  });
}

/** Before its key is known little may arrive on it. */
function openSocket(
  socket: WebSocket,
  request: FastifyRequest,
  services: Services,
  entrance: Entrance,
): void {
  const { config, bodies, metrics, refused, draining, connectionCounts } = services;
  const { limits } = config;
  const raw = request.raw.socket;
  const gate = createReadingGate(socket);
  const end = createSocketEnd(socket, raw, metrics.socketEnded);
  const arrival = watchArrival({
    socket,
    raw,
    gate,
    bodies,
    limits,
    onStranger: () => stranger?.refuse(unauthorized('A key is not as long as this message.')),
    onBusy() {
      refused({ reason: 'request_bodies', address: request.ip });
      end.hangUp('busy');
    },
    onUnfinished: () => end.hangUp('unfinished'),
  });
  const serve = (principal: Principal) => {
    arrival.admit();
    serveSocket({ socket, end, gate }, principal, services);
  };
  let stranger: ReturnType<typeof awaitKey> | undefined;
  if (request.principal as Principal | undefined) serve(request.principal);
  else {
    stranger = awaitKey({
      socket,
      end,
      patienceMs: limits.socketAuthMs,
      prove(key) {
        if (draining()) throw shuttingDown();
        const principal = entrance.prove(request, key);
        checkKey(connectionCounts, request, principal.keyId);
        return principal;
      },
      onNoKey: () => refused({ reason: 'no_key', address: request.ip }),
      onProven: serve,
    });
  }
}
