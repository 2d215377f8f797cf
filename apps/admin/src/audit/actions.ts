import type { AuditAction } from '@millrace/shared/domain/audit';
import type { AuditWriter } from '@millrace/shared/store/audit/audit-writer';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { redacted } from '../api/redacted-config.ts';
import { requesterOf } from './requester.ts';

/* Every request that may change something is recorded, whatever its outcome. */

/** By method and route. */
const actions: Readonly<Record<string, AuditAction>> = {
  'POST /admin/keys': 'key.create',
  'PATCH /admin/keys/:id': 'key.update',
  'POST /admin/keys/:id/rotate': 'key.rotate',
  'DELETE /admin/keys/:id': 'key.revoke',
  'POST /admin/fleet/:process/drain': 'fleet.drain',
  'POST /admin/fleet/:process/resume': 'fleet.resume',
  'POST /admin/config/reload': 'config.reload',
  'POST /admin/config/check': 'config.check',
  'POST /admin/chaos': 'chaos',
  'POST /admin/webhooks/:id/replay': 'webhook.replay',
  'DELETE /admin/webhooks/:id': 'webhook.delete',
  'POST /admin/requests/:id/cancel': 'request.cancel',
  'POST /admin/requests/:id/move': 'request.move',
  'POST /admin/upstreams/:target/open': 'upstream.open',
  'POST /admin/upstreams/:target/close': 'upstream.close',
};

/** A change that Bull Board may not make; it records the others itself (api/bull-board.ts). */
const boardRoute = '/admin/queues/*';

declare module 'fastify' {
  interface FastifyReply {
    /** The code of the error that is the answer. */
    errorCode?: string;
  }
}

/** An answer waits until Redis has its entry, for at most as long as the writer waits; never for the database. */
export function recordActions(app: FastifyInstance, audit: Pick<AuditWriter, 'record'>): void {
  app.addHook('onSend', async (request, reply, payload) => {
    if (changesNothing(request)) return payload;
    const { url: route } = request.routeOptions;
    // Anyone in the network can send a request without the token.
    if (route === undefined || reply.errorCode === 'ask_an_ingress') return payload;
    const name = `${request.method} ${route}`;
    await audit.record({
      ...requesterOf(request),
      action: actions[name] ?? (route === boardRoute ? 'queue.change' : name),
      target: targetOf(request),
      outcome: reply.errorCode ?? (reply.statusCode < 400 ? 'ok' : `status_${reply.statusCode}`),
      detail: detailOf(request, reply),
    });
    return payload;
  });
}

const changesNothing = ({ method }: FastifyRequest): boolean =>
  method === 'GET' || method === 'HEAD';

function targetOf({ params, body }: FastifyRequest): string | undefined {
  const { id, process, target, '*': path } = params as Record<string, string | undefined>;
  const { id: created } = (body ?? {}) as { id?: unknown };
  if (path !== undefined) return `/${path}`;
  return id ?? process ?? target ?? (typeof created === 'string' ? created : undefined);
}

/** Of a body that was refused only the reason is known to hold no secret. */
function detailOf({ body }: FastifyRequest, reply: FastifyReply) {
  if (reply.statusCode >= 400 || typeof body !== 'object' || body === null) return undefined;
  return redacted(body) as Readonly<Record<string, unknown>>;
}
