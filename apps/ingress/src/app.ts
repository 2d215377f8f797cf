import { isUtf8 } from 'node:buffer';
import websocket from '@fastify/websocket';
import { isLarge } from '@millrace/shared/runtime/large-text';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { addressFilter } from './auth/addresses.ts';
import type { Principal } from './auth/api-keys.ts';
import { adminRoutes } from './api/admin/routes.ts';
import { awaitAnswers } from './server/open-answers.ts';
import { boardRoutes } from './api/admin/bull-board.ts';
import type { BoardQueue } from './api/admin/bull-board.ts';
import { completionRoutes } from './api/chat-completions/routes.ts';
import {
  boundBodies,
  checkAddress,
  checkKey,
  countConnections,
  hearOut,
  serverLimits,
} from './server/limits.ts';
import { allowPages } from './server/cors.ts';
import { createEntrance } from './auth/authenticate.ts';
import { badUrl, notUtf8, shuttingDown, toApiError } from './errors.ts';
import { readTokenRoute } from './api/jobs/read-token.ts';
import { noteRefusal, whoAsks } from './observe/refused.ts';
import { adoptId, makeRequestId, nameAnswers, nameHandshakes } from './api/request-id.ts';
import { sendError } from './api/reply.ts';
import { factsOf, logRequests, logUnread, logWhenEnded } from './observe/request-log.ts';
import { answerExpectations, checkHeads } from './server/heads.ts';
import { healthRoutes } from './observe/health.ts';
import { jobRoutes } from './api/jobs/routes.ts';
import { connectHandler, malformedHandler } from './server/malformed.ts';
import type { Refuse } from './server/malformed.ts';
import { boundPipelined } from './server/pipelined.ts';
import { watchWholeAnswers } from './delivery/whole-answers.ts';
import { modelRoutes } from './api/models.ts';
import { upstreamRoutes } from './api/admin/upstreams.ts';
import { socketOptions } from './api/websocket/limits.ts';
import { socketRoutes } from './api/websocket/routes.ts';
import { watchRoutes } from './server/unknown-route.ts';
import { divideUpgrades } from './api/websocket/upgrade.ts';
import type { Services } from './services.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined on a WebSocket whose key is still to come, and nowhere else. */
    principal: Principal;
  }
}

export type AppOptions = {
  services: Services;
  queues: BoardQueue[];
  /** Connections that the limit of file descriptors leaves. */
  room: number;
  /** PEM texts: https and wss instead of http and ws. */
  tls?: { cert: string; key: string } | undefined;
};

/** The HTTP surface on its services. Listens nowhere yet. */
export async function buildApp({
  services,
  queues,
  room,
  tls,
}: AppOptions): Promise<FastifyInstance> {
  const { config, draining, connectionCounts, door, refused, logger, onError } = services;
  const { trustedProxies, cors } = config.listen;
  const isProxy = addressFilter(trustedProxies);
  const entrance = createEntrance(services, isProxy);
  const arriving = serverLimits(config.limits);
  const refuseUnread: Refuse = (refusal, answer) => {
    refused(refusal);
    if (answer) logUnread(logger, refusal, answer);
  };
  const app = Fastify({
    bodyLimit: config.limits.requestBodyBytes,
    ...(tls
      ? { https: { ...tls, ...arriving, handshakeTimeout: arriving.headersTimeout } }
      : { http: arriving }),
    requestTimeout: config.limits.requestTimeoutMs,
    // Streams may be silent for long and requests may wait; time is watched where it is understood.
    connectionTimeout: 0,
    forceCloseConnections: 'idle',
    // Then `request.ip` is the right-most address in `x-forwarded-for` that is not one of these.
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: 200 },
    genReqId: makeRequestId,
    clientErrorHandler: malformedHandler(refuseUnread),
    // What reaches no route: a URL that cannot be decoded, a parameter longer than any id.
    frameworkErrors: (thrown, request, reply) => {
      reply.hijack();
      // No hook has seen it.
      adoptId(reply, request.id);
      logWhenEnded(logger, request, reply.raw);
      const refusal = badUrl(request.url, thrown.statusCode);
      noteRefusal(refused, refusal, whoAsks(request));
      sendError(reply.raw, refusal);
    },
  }) as unknown as FastifyInstance;

  const upgrades = divideUpgrades(app.server, tls ? 'secureConnection' : 'connection');

  app.server.on('connect', connectHandler(refuseUnread));

  app.setErrorHandler((thrown, request, reply) => {
    const answer = toApiError(thrown);
    const { status, error, headers } = answer;
    noteRefusal(refused, answer, whoAsks(request));
    factsOf(reply.raw).code = error.code ?? `status_${status}`;
    // The rest of the body is still to come.
    if (status === 413 || error.code === 'request_too_deep') hearOut(request, reply);
    if (status >= 500 && status !== 503) onError(thrown);
    return reply.code(status).headers(headers).send({ error });
  });
  nameAnswers(app);
  logRequests(app, logger);
  checkHeads(app);
  answerExpectations(app);
  boundPipelined(app);
  watchWholeAnswers(app, services);
  app.setNotFoundHandler(watchRoutes(app));

  // As text: what goes upstream is what came, byte for byte. Broken UTF-8 would not survive that.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    /^application\/(json|[a-z.+-]+\+json)/,
    { parseAs: 'buffer' },
    (_request, body: Buffer, done) => {
      if (!isUtf8(body)) done(notUtf8());
      else if (isLarge(body)) setImmediate(done, null, body.toString('utf8'));
      else done(null, body.toString('utf8'));
    },
  );

  countConnections(app.server, tls !== undefined, connectionCounts, isProxy, refused, room);
  await app.register(websocket, {
    // ws only listens to it.
    options: { ...socketOptions(config.limits), server: upgrades as typeof app.server },
    // A malformed frame: ws closes the socket itself, with the right code, which its client must see.
    errorHandler(thrown, socket) {
      if (socket.readyState !== socket.OPEN) return;
      onError(thrown);
      socket.close(1011);
    },
  });
  nameHandshakes(app.websocketServer);
  awaitAnswers(app, services);
  await app.register(async (api) => {
    api.decorateRequest('principal');
    await allowPages(api, cors.origins);
    api.addHook('onRequest', async (request, reply) => {
      const principal = entrance.enter(request);
      request.principal = principal as Principal;
      checkAddress(connectionCounts, request, reply);
      checkKey(connectionCounts, request, principal?.keyId);
      if (draining()) throw shuttingDown();
      // Before its body is read; the door asks again, for those that come on a WebSocket.
      if (request.method === 'POST') door.checkSelf();
    });
    boundBodies(api, services.bodies, config.limits);
    completionRoutes(api, services);
    jobRoutes(api, services);
    readTokenRoute(api, services);
    modelRoutes(api, services);
    socketRoutes(api, services, entrance);
  });
  healthRoutes(app, services);
  await adminRoutes(app, {
    admin: config.admin,
    isProxy,
    refused,
    pages: (scope) => {
      boardRoutes(scope, queues, config.board);
      upstreamRoutes(scope, services);
    },
  });
  return app;
}
