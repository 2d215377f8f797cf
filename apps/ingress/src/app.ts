import { isUtf8 } from 'node:buffer';
import websocket from '@fastify/websocket';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { addressFilter } from './admission/keys.ts';
import type { Principal } from './admission/keys.ts';
import { adminRoutes } from './http/admin.ts';
import { boardRoutes } from './http/board.ts';
import type { BoardQueue } from './http/board.ts';
import { completionRoutes } from './http/completions.ts';
import {
  boundBodies,
  checkAddress,
  checkKey,
  countConnections,
  serverTimes,
} from './http/arrival.ts';
import { allowPages } from './http/cors.ts';
import { createEntrance } from './http/entrance.ts';
import { badUrl, notUtf8, shuttingDown, toApiError } from './http/errors.ts';
import { sendError } from './http/reply.ts';
import { healthRoutes } from './http/health.ts';
import { jobRoutes } from './http/jobs.ts';
import { boundPipelined } from './http/pipelined.ts';
import { watchWholeAnswers } from './http/whole-answers.ts';
import { refuseMalformed } from './http/malformed.ts';
import { modelRoutes } from './http/models.ts';
import { upstreamRoutes } from './http/upstreams.ts';
import { socketRoutes } from './http/websocket.ts';
import { watchRoutes } from './http/unknown-route.ts';
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
  /** PEM texts: https and wss instead of http and ws. */
  tls?: { cert: string; key: string } | undefined;
};

/** The HTTP surface on its services. Listens nowhere yet. */
export async function buildApp({ services, queues, tls }: AppOptions): Promise<FastifyInstance> {
  const { config, draining, connectionCounts, onError } = services;
  const entrance = createEntrance(services);
  const { trustedProxies, cors } = config.listen;
  const times = serverTimes(config.limits);
  const app = Fastify({
    bodyLimit: config.limits.requestBodyBytes,
    ...(tls
      ? { https: { ...tls, ...times, handshakeTimeout: times.headersTimeout } }
      : { http: times }),
    requestTimeout: config.limits.requestTimeoutMs,
    // Streams may be silent for long and requests may wait; time is watched where it is understood.
    connectionTimeout: 0,
    forceCloseConnections: 'idle',
    // Then `request.ip` is the right-most address in `x-forwarded-for` that is not one of these.
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 200 },
    clientErrorHandler: refuseMalformed,
    // What reaches no route: a URL that cannot be decoded, a parameter longer than any id.
    frameworkErrors: (thrown, request, reply) => {
      reply.hijack();
      sendError(reply.raw, badUrl(request.url, thrown.statusCode));
    },
  }) as unknown as FastifyInstance;

  app.setErrorHandler((thrown, _request, reply) => {
    const { status, error, headers } = toApiError(thrown);
    if (status >= 500 && status !== 503) onError(thrown);
    return reply.code(status).headers(headers).send({ error });
  });
  boundPipelined(app);
  watchWholeAnswers(app, services);
  const unknownRoute = watchRoutes(app);
  app.setNotFoundHandler((request) => {
    throw unknownRoute(request.method, request.url);
  });

  // As text: what goes upstream is what came, byte for byte. Broken UTF-8 would not survive that.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    /^application\/(json|[a-z.+-]+\+json)/,
    { parseAs: 'buffer' },
    (_request, body: Buffer, done) => {
      if (isUtf8(body)) done(null, body.toString('utf8'));
      else done(notUtf8());
    },
  );

  const isProxy = addressFilter(trustedProxies);
  countConnections(app.server, tls !== undefined, connectionCounts, isProxy);
  await app.register(websocket, {
    // Without compression: its windows cost more per socket than all else, and bombs come packed.
    options: { maxPayload: config.limits.socketFrameBytes, perMessageDeflate: false },
  });
  await app.register(async (api) => {
    api.decorateRequest('principal');
    await allowPages(api, cors.origins);
    api.addHook('onRequest', async (request, reply) => {
      const principal = entrance.enter(request);
      checkAddress(connectionCounts, request, reply);
      checkKey(connectionCounts, request, principal?.keyId);
      request.principal = principal as Principal;
      if (draining()) throw shuttingDown();
    });
    boundBodies(api, services.bodies, config.limits.requestBodiesBytes);
    completionRoutes(api, services);
    jobRoutes(api, services);
    modelRoutes(api, services);
    socketRoutes(api, services, entrance);
  });
  healthRoutes(app, services);
  await adminRoutes(app, {
    admin: config.admin,
    pages: async (scope) => {
      await boardRoutes(scope, queues);
      upstreamRoutes(scope, services);
    },
  });
  return app;
}
