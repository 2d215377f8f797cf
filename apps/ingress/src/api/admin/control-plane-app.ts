import proxy from '@fastify/http-proxy';
import { controlPlaneToken } from '@millrace/shared/store/control-plane';
import type { ControlPlane } from '@millrace/shared/store/control-plane';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { apiError } from '../../api-error.ts';

/** Where a request goes: set before its raw request reaches this app. */
export const destinations = new WeakMap<object, ControlPlane>();

/** Passes requests on to the control plane, as an app that listens nowhere. It guards nothing by itself. */
export async function buildControlPlaneProxy(
  onError: (error: unknown) => void,
): Promise<FastifyInstance> {
  const app = Fastify();
  app.setErrorHandler((thrown, _request, reply) => {
    onError(thrown);
    const { status, error, headers } = apiError('no_control_plane');
    return reply.code(status).headers(headers).send({ error });
  });
  await app.register(proxy, {
    upstream: '',
    replyOptions: {
      getUpstream: (request) => destinations.get(request.raw)?.url ?? '',
      rewriteRequestHeaders: (request, headers) => {
        // The operator's password is for this ingress.
        const { authorization: _, ...rest } = headers;
        return { ...rest, [controlPlaneToken]: destinations.get(request.raw)?.token ?? '' };
      },
    },
  });
  await app.ready();
  return app;
}
