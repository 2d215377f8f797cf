import proxy from '@fastify/http-proxy';
import {
  controlPlaneActor,
  controlPlaneClient,
  controlPlaneRequest,
  controlPlaneToken,
} from '@millrace/shared/store/control-plane';
import type { ControlPlane } from '@millrace/shared/store/control-plane';
import Fastify from 'fastify';
import type { FastifyError, FastifyInstance } from 'fastify';
import { apiError, withRequestId } from '../../api-error.ts';
import { pathOf } from '../../url-path.ts';

/** Where a request goes, who sends it, and the `x-request-id` of its answer. */
export type ControlPlaneCall = {
  controlPlane: ControlPlane;
  actor: string;
  address: string;
  id: string;
};

/** Of each raw request: set before the request reaches this app. */
export const calls = new WeakMap<object, ControlPlaneCall>();

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
      ? apiError('invalid_url', { url: pathOf(request.url) })
      : apiError('control_plane_silent');
    if (!isClients) onError(thrown);
    const { status, error, headers } = answer;
    const id = calls.get(request.raw)?.id;
    const body = { error: id === undefined ? error : withRequestId(error, id) };
    return reply.code(status).headers(headers).send(body);
  });
  await app.register(proxy, {
    upstream: '',
    undici: { headersTimeout: headersTimeoutMs },
    replyOptions: {
      // By default it repeats a GET that got a 503 ten times.
      retryDelay: () => null,
      getUpstream: (request) => calls.get(request.raw)?.controlPlane.url ?? '',
      rewriteRequestHeaders: (request, headers) => {
        // The operator's password and session are for this ingress.
        const { authorization: _, cookie: __, ...rest } = headers;
        const { controlPlane, actor = '', address = '', id = '' } = calls.get(request.raw) ?? {};
        return {
          ...rest,
          [controlPlaneToken]: controlPlane?.token ?? '',
          [controlPlaneActor]: encodeURIComponent(actor),
          [controlPlaneClient]: address,
          [controlPlaneRequest]: id,
        };
      },
    },
  });
  await app.ready();
  return app;
}
