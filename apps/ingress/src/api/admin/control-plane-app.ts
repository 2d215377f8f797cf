import proxy from '@fastify/http-proxy';
import {
  controlPlaneActor,
  controlPlaneClient,
  controlPlaneToken,
} from '@millrace/shared/store/control-plane';
import type { ControlPlane } from '@millrace/shared/store/control-plane';
import Fastify from 'fastify';
import type { FastifyError, FastifyInstance } from 'fastify';
import { apiError } from '../../api-error.ts';

/** Where a request goes, and who sends it. */
export type Passage = { controlPlane: ControlPlane; actor: string; address: string };

/** Of each raw request: set before the request reaches this app. */
export const passages = new WeakMap<object, Passage>();

/** Milliseconds until the head of an answer: a report over millions of requests takes seconds. */
const headersTimeoutMs = 60_000;

/** Passes requests on to the control plane, as an app that listens nowhere. It guards nothing by itself. */
export async function buildControlPlaneProxy(
  onError: (error: unknown) => void,
): Promise<FastifyInstance> {
  const app = Fastify();
  app.setErrorHandler((thrown: FastifyError, request, reply) => {
    const isClients = thrown.statusCode !== undefined && thrown.statusCode < 500;
    const answer = isClients
      ? apiError('invalid_url', { url: request.url })
      : apiError('control_plane_silent');
    if (!isClients) onError(thrown);
    const { status, error, headers } = answer;
    return reply.code(status).headers(headers).send({ error });
  });
  await app.register(proxy, {
    upstream: '',
    undici: { headersTimeout: headersTimeoutMs },
    replyOptions: {
      // By default it repeats a GET that got a 503 ten times.
      retryDelay: () => null,
      getUpstream: (request) => passages.get(request.raw)?.controlPlane.url ?? '',
      rewriteRequestHeaders: (request, headers) => {
        // The operator's password is for this ingress.
        const { authorization: _, ...rest } = headers;
        const { controlPlane, actor = '', address = '' } = passages.get(request.raw) ?? {};
        return {
          ...rest,
          [controlPlaneToken]: controlPlane?.token ?? '',
          [controlPlaneActor]: encodeURIComponent(actor),
          [controlPlaneClient]: address,
        };
      },
    },
  });
  await app.ready();
  return app;
}
