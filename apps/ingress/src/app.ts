import { isUtf8 } from 'node:buffer';
import websocket from '@fastify/websocket';
import Fastify from 'fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Principal, Verdict } from './admission/keys.ts';
import { adminRoutes, isAdmin } from './http/admin.ts';
import { boardRoutes } from './http/board.ts';
import type { BoardQueue } from './http/board.ts';
import { completionRoutes } from './http/completions.ts';
import { boundBodies, checkConnection, countConnections, serverTimes } from './http/arrival.ts';
import {
  badUrl,
  forbidden,
  notUtf8,
  shuttingDown,
  toApiError,
  unauthorized,
} from './http/errors.ts';
import { sendError } from './http/reply.ts';
import { healthRoutes } from './http/health.ts';
import { jobRoutes } from './http/jobs.ts';
import { refuseMalformed } from './http/malformed.ts';
import { modelRoutes } from './http/models.ts';
import { upstreamRoutes } from './http/upstreams.ts';
import { socketRoutes } from './http/websocket.ts';
import { watchRoutes } from './http/unknown-route.ts';
import type { Services } from './services.ts';

declare module 'fastify' {
  interface FastifyRequest {
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
  const { config, gate, draining, connectionCounts, onError } = services;
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

  countConnections(app.server, tls !== undefined, connectionCounts);
  await app.register(websocket, {
    // Without compression: its windows cost more per socket than all else, and bombs come packed.
    options: { maxPayload: config.limits.socketFrameBytes, perMessageDeflate: false },
  });
  await app.register(async (api) => {
    api.decorateRequest('principal');
    api.addHook('onRequest', async (request) => {
      request.principal =
        config.admin && isAdmin(request.headers.authorization, config.admin)
          ? adminPrincipal
          : admit(gate(credentialsOf(request)));
      checkConnection(connectionCounts, request.raw.socket, request.principal.keyId);
      if (draining()) throw shuttingDown();
    });
    boundBodies(api, services.bodies, config.limits.requestBodiesBytes);
    completionRoutes(api, services);
    jobRoutes(api, services);
    modelRoutes(api, services);
    socketRoutes(api, services);
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

/** Sees every request and asks for none: a model is used with a key, on its account. */
const adminPrincipal: Principal = { keyId: undefined, models: [], admin: true };

function credentialsOf(request: FastifyRequest) {
  const { authorization, 'x-api-key': apiKey } = request.headers;
  return {
    authorization,
    apiKey: typeof apiKey === 'string' ? apiKey : undefined,
    address: request.socket.remoteAddress ?? '',
    origin: request.headers.origin,
    host: request.headers.host,
  };
}

function admit(verdict: Verdict): Principal {
  if (verdict.kind === 'admitted') return verdict.principal;
  switch (verdict.reason) {
    case 'no_key':
      throw unauthorized(
        'You did not provide an API key: send it as a bearer token in the Authorization header.',
      );
    case 'unknown_key':
      throw unauthorized('Incorrect API key provided.');
    case 'address':
      throw forbidden('This API key may not be used from your address.', 'address_not_allowed');
    case 'foreign_page':
      throw forbidden(
        'No keys are configured, so pages of other sites may not use this server.',
        'foreign_page',
      );
    case 'loopback_only':
      throw forbidden(
        'No keys are configured, so this server answers on loopback only.',
        'loopback_only',
      );
  }
}
