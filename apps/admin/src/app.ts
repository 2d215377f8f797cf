import { createHash, timingSafeEqual } from 'node:crypto';
import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { AdminError, requestIdOf } from './api/admin-error.ts';
import { figureRoutes } from './api/figure-routes.ts';
import { fleetRoutes } from './api/fleet-routes.ts';
import type { FleetSource } from './api/fleet-routes.ts';
import { keyRoutes } from './api/key-routes.ts';
import type { KeyRoutesOptions } from './api/key-routes.ts';
import { auditRoutes } from './api/audit-routes.ts';
import { ledgerRoutes } from './api/ledger-routes.ts';
import type { LedgerSource } from './api/ledger-routes.ts';
import { recordActions } from './audit/actions.ts';
import { isUnavailable } from './database/failure.ts';
import type { AuditWriter } from '@millrace/shared/store/audit/audit-writer';

export type AppOptions = {
  /** Absent: the config names no database, and there is no ledger. */
  ledger: LedgerSource | undefined;
  audit: Pick<AuditWriter, 'record'>;
  fleet: FleetSource;
  keys: KeyRoutesOptions;
  /** The token that the ingresses send (store/control-plane.ts). */
  token: string;
  /** Adds the routes that need no ledger. */
  addRoutes?(app: FastifyInstance): void;
  onError(error: unknown): void;
};

/**
 * The HTTP server of the control plane. Ingresses authenticate operators and pass their requests on, with a token; a request
 * without it is rejected.
 */
export function buildApp({
  ledger,
  audit,
  fleet,
  keys,
  token,
  addRoutes,
  onError,
}: AppOptions): FastifyInstance {
  const app = Fastify({
    // HEAD of a list would read all of it.
    exposeHeadRoutes: false,
    genReqId: ({ headers }) => requestIdOf(headers),
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: 400 },
  });
  app.decorateReply('errorCode');
  app.setErrorHandler((thrown, request, reply) => {
    const error = toAdminError(thrown);
    if (error.status >= 500) onError(thrown);
    reply.errorCode = error.code;
    return reply.code(error.status).send(error.bodyFor(request.id));
  });
  app.setNotFoundHandler((request, reply) => {
    const error = unknownPath(request.method, request.url);
    return reply.code(error.status).send(error.bodyFor(request.id));
  });
  const digest = sha256(token);
  app.addHook('onRequest', async (request) => {
    const shown = request.headers[controlPlaneToken];
    if (typeof shown !== 'string' || !timingSafeEqual(sha256(shown), digest)) {
      throw new AdminError(
        401,
        'ask_an_ingress',
        'Send requests to an ingress: it passes them on.',
      );
    }
  });
  recordActions(app, audit);
  fleetRoutes(app, fleet);
  acceptEmptyBodies(app);
  void app.register(async (scope) => keyRoutes(scope, keys));
  addRoutes?.(app);
  if (ledger) {
    ledgerRoutes(app, ledger);
    figureRoutes(app, ledger);
    auditRoutes(app, ledger);
  } else {
    const noLedger = async () => {
      throw new AdminError(
        404,
        'no_ledger',
        'This fleet keeps no ledger: set database.url in the config (or DATABASE_URL) and restart it.',
      );
    };
    for (const path of [
      '/admin/ledger',
      '/admin/usage',
      '/admin/requests',
      '/admin/summary',
      '/admin/series',
      '/admin/audit',
    ]) {
      app.get(path, noLedger);
    }
  }
  return app;
}

const paths = [
  '/admin',
  '/admin/live',
  '/admin/queue',
  '/admin/fleet',
  '/admin/fleet/{process}/drain',
  '/admin/fleet/{process}/resume',
  '/admin/ledger',
  '/admin/usage',
  '/admin/requests',
  '/admin/requests/{id}',
  '/admin/summary',
  '/admin/series',
  '/admin/requests/{id}/log',
  '/admin/requests/{id}/readers',
  '/admin/requests/{id}/cancel',
  '/admin/requests/{id}/move',
  '/admin/keys',
  '/admin/keys/{id}',
  '/admin/keys/{id}/rotate',
  '/admin/config',
  '/admin/config/reload',
  '/admin/config/check',
  '/admin/requests/{id}/debug',
  '/admin/debug',
  '/admin/audit',
  '/admin/attention',
  '/admin/webhooks',
  '/admin/webhooks/{id}',
  '/admin/webhooks/{id}/replay',
  '/admin/upstreams',
  '/admin/upstreams/{target}/open',
  '/admin/upstreams/{target}/close',
  '/admin/queues',
  '/admin/chaos',
];

/** Clients send the content type of JSON also without a body, which some routes do not need. */
function acceptEmptyBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null);
    else void parse(request, String(body), done);
  });
}

const unknownPath = (method: string, url: string): AdminError =>
  new AdminError(
    404,
    'unknown_url',
    `Unknown request URL: ${method} ${url.split('?')[0]?.slice(0, 100)}. The control plane serves ${paths.join(', ')}.`,
  );

function toAdminError(thrown: unknown): AdminError {
  if (thrown instanceof AdminError) return thrown;
  const status = (thrown as { statusCode?: unknown }).statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AdminError(status, 'invalid_request', (thrown as Error).message);
  }
  if (!isUnavailable(thrown)) {
    return new AdminError(
      500,
      'internal_error',
      'The control plane failed; its log has the reason.',
    );
  }
  return new AdminError(
    503,
    'ledger_unavailable',
    'The database of the ledger does not answer. Streams are served; requests that end meanwhile are recorded later.',
  );
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();
