import { isUtf8 } from 'node:buffer';
import websocket from '@fastify/websocket';
import { maxFields, readForm } from '@millrace/formats/pass-through/form';
import type { Config } from '@millrace/shared/config';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import Fastify from 'fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { addressFilter } from './auth/addresses.ts';
import type { Principal } from './auth/api-keys.ts';
import { adminRoutes } from './api/admin/routes.ts';
import { trackAnswers } from './server/open-answers.ts';
import { clientApiRoutes } from './api/client-api-routes.ts';
import {
  boundBodies,
  checkAddress,
  checkKey,
  countConnections,
  discardBody,
  serverLimits,
} from './server/limits.ts';
import { allowPages } from './server/cors.ts';
import { createAuthenticator } from './auth/authenticate.ts';
import { apiError, errorOf, toApiError, withRequestId } from './api-error.ts';
import { readTokenRoute } from './api/jobs/read-token.ts';
import { recordRefusal, clientOf } from './observe/record-refusal.ts';
import { adoptId, makeRequestId, sendRequestIds, sendHandshakeIds } from './server/request-id.ts';
import { sendError } from './server/reply.ts';
import { errorFormOf } from './api/error-form.ts';
import { pathOf } from './url-path.ts';
import type { ErrorBody } from './server/reply.ts';
import { factsOf, logRequests, logUnread, logWhenEnded } from './observe/request-log.ts';
import { answerExpectations, checkHeads } from './server/request-head.ts';
import { healthRoutes } from './api/health.ts';
import { jobRoutes } from './api/jobs/routes.ts';
import { connectHandler, malformedHandler } from './server/malformed.ts';
import type { Refuse } from './server/malformed.ts';
import { boundPipelined } from './server/pipelined.ts';
import { watchWholeAnswers } from './delivery/stalled-answers.ts';
import { countTokensRoute } from './api/messages/count-tokens.ts';
import { modelRoutes } from './api/models/routes.ts';
import { responseRoutes } from './api/responses/routes.ts';
import { openApiRoutes } from './api/openapi/routes.ts';
import { socketOptions } from './api/websocket/limits.ts';
import { socketRoutes } from './api/websocket/routes.ts';
import { watchRoutes } from './server/unknown-route.ts';
import { routeUpgrades } from './api/websocket/upgrade.ts';
import type { Services } from './services.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined only on a WebSocket that has not authenticated yet. */
    principal: Principal;
  }

  interface FastifyContextConfig {
    /** The error body of a route. Absent: OpenAI's. */
    errorBody?: ErrorBody;
    /** The headers of a route's error, from the id of its answer. Absent: none. */
    errorHead?: (id: string) => Record<string, string>;
    /** A route whose body may be a form; it gets the form as JSON. */
    takesForms?: true | undefined;
  }
}

export type AppOptions = {
  services: Services;
  /** Connections that the limit of file descriptors allows. */
  room: number;
  /** PEM texts. Present: serves https and wss instead of http and ws. */
  tls?: { cert: string; key: string } | undefined;
};

/** Builds the HTTP server on its services. It does not listen yet. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { services, room, tls } = options;
  const { config, connectionCounts, refused, connections, logger } = services;
  const isProxy = addressFilter(config.listen.trustedProxies);
  const refuseUnread: Refuse = (refusal, answer) => {
    refused(refusal);
    if (answer) logUnread(logger, refusal, answer);
  };
  const app = createServer(options, refuseUnread);
  const upgrades = routeUpgrades(app.server, tls ? 'secureConnection' : 'connection');
  app.server.on('connect', connectHandler(refuseUnread));

  answerErrors(app, services);
  sendRequestIds(app);
  logRequests(app, logger);
  checkHeads(app);
  answerExpectations(app);
  boundPipelined(app);
  watchWholeAnswers(app, { connections, readerStallMs: config.limits.readerStallMs });
  app.setNotFoundHandler(watchRoutes(app));
  openApiRoutes(app);
  readBodies(app);
  readForms(app, config.limits);
  countConnections(app.server, tls !== undefined, connectionCounts, isProxy, refused, room);
  await acceptSockets(app, services, upgrades as typeof app.server);
  trackAnswers(app, services, errorFormOf);
  await app.register((api) => apiRoutes(api, services, isProxy));
  healthRoutes(app, services);
  await adminRoutes(app, services, isProxy);
  return app;
}

function createServer({ services, tls }: AppOptions, refuseUnread: Refuse): FastifyInstance {
  const { config, refused, logger } = services;
  const { trustedProxies } = config.listen;
  const arrivalLimits = serverLimits(config.limits);
  return Fastify({
    bodyLimit: config.limits.requestBodyBytes,
    ...(tls
      ? { https: { ...tls, ...arrivalLimits, handshakeTimeout: arrivalLimits.headersTimeout } }
      : { http: arrivalLimits }),
    requestTimeout: config.limits.requestTimeoutMs,
    // Streams may be silent for long and requests may wait, so they have timeouts of their own.
    connectionTimeout: 0,
    forceCloseConnections: 'idle',
    // `request.ip` is then the right-most address in `x-forwarded-for` that is not a trusted proxy.
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: 200 },
    genReqId: makeRequestId,
    clientErrorHandler: malformedHandler(refuseUnread),
    // For requests that reach no route: a URL that cannot be decoded, a parameter longer than any id.
    frameworkErrors: (thrown, request, reply) => {
      reply.hijack();
      // No hook ran for this request.
      adoptId(reply, request.id);
      logWhenEnded(logger, request, reply.raw);
      const refusal = apiError('invalid_url', {
        // Without the query, which may have a key.
        url: pathOf(request.url),
        status: thrown.statusCode ?? 400,
      });
      recordRefusal(refused, refusal, clientOf(request));
      const { errorBody, errorHead } = errorFormOf(request);
      sendError(reply.raw, refusal, errorHead?.(request.id), errorBody);
    },
  });
}

function answerErrors(app: FastifyInstance, { refused, onError }: Services): void {
  app.setErrorHandler((thrown, request, reply) => {
    const answer = toApiError(thrown);
    const { status, error, headers } = answer;
    recordRefusal(refused, answer, clientOf(request));
    factsOf(reply.raw).code = error.code ?? `status_${status}`;
    // The rest of the body is still arriving.
    if (status === 413 || error.code === 'request_too_deep') discardBody(request, reply);
    if (status >= 500 && status !== 503) onError(thrown);
    const { errorBody, errorHead } = errorFormOf(request);
    return reply
      .code(status)
      .headers({ ...errorHead?.(request.id), ...headers })
      .send(errorBody(withRequestId(error, request.id), status));
  });
}

/** Bodies stay text and are sent upstream byte for byte, so they must be valid UTF-8. */
function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    /^application\/(json|[a-z.+-]+\+json)/,
    { parseAs: 'buffer' },
    (_request, body: Buffer, done) => {
      if (!isUtf8(body)) done(apiError('invalid_json', { what: 'not_utf8' }));
      else if (isLarge(body)) setImmediate(done, null, body.toString('utf8'));
      else done(null, body.toString('utf8'));
    },
  );
}

/** Routes that take forms get them as JSON (pass-through/form.ts), within the same bound of their bytes. */
function readForms(app: FastifyInstance, { requestBodyBytes: most }: Config['limits']): void {
  app.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer' },
    async ({ routeOptions, headers }: FastifyRequest, bytes: Buffer) => {
      if (!routeOptions.config.takesForms) throw apiError('unsupported_content_type');
      if (isLarge(bytes)) await nextTurn();
      const text = readForm(bytes, headers['content-type'] ?? '');
      if (text === undefined) {
        const message = `The form cannot be read, or has more than ${maxFields} fields.`;
        throw apiError('invalid_request', { message });
      }
      if (text.length > most) throw apiError('request_too_large');
      if (isLarge(text)) await nextTurn();
      return text;
    },
  );
}

/** `server`: emits the upgrades; ws only listens to it. */
async function acceptSockets(
  app: FastifyInstance,
  { config, onError }: Services,
  server: FastifyInstance['server'],
): Promise<void> {
  await app.register(websocket, {
    options: { ...socketOptions(config.limits), server },
    // After a malformed frame ws itself closes the socket, with the right code.
    errorHandler(thrown, socket) {
      if (socket.readyState !== socket.OPEN) return;
      onError(thrown);
      socket.close(1011);
    },
  });
  sendHandshakeIds(app.websocketServer);
}

/** The routes of clients, behind authentication. */
async function apiRoutes(
  api: FastifyInstance,
  services: Services,
  isProxy: (address: string) => boolean,
): Promise<void> {
  const { config, draining, connectionCounts, admission } = services;
  const authenticator = createAuthenticator(services, isProxy);
  api.decorateRequest('principal');
  await allowPages(api, config.listen.cors.origins);
  api.addHook('onRequest', async (request, reply) => {
    const verdict = authenticator.authenticate(request);
    if (verdict.kind === 'refused') throw errorOf(verdict);
    const principal = verdict.kind === 'admitted' ? verdict.principal : undefined;
    request.principal = principal as Principal;
    checkAddress(connectionCounts, request, reply);
    checkKey(connectionCounts, request, principal?.keyId);
    if (draining()) throw apiError('server_shutting_down');
    // Before the body is read; `admit` checks again, also for requests on WebSockets.
    const overload = request.method === 'POST' ? admission.checkOverload() : undefined;
    if (overload) throw errorOf(overload);
  });
  boundBodies(api, services.bodies, services.limits);
  clientApiRoutes(api, services);
  jobRoutes(api, services);
  responseRoutes(api, services);
  readTokenRoute(api, services);
  countTokensRoute(api, services);
  modelRoutes(api, services);
  socketRoutes(api, services, authenticator);
}
