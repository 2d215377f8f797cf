import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { localActor } from '@millrace/shared/domain/audit';
import { addressOf } from '../../auth/client-address.ts';
import { apiError } from '../../api-error.ts';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';

export const controlPlanePath = '/admin/*';

/**
 * A percent-escape of a target's name. Dots, slashes, backslashes, percent signs and control characters could make another path of
 * it; `%2F` is matched as a separator.
 */
const escaped = '%(?!2e|2f|5c|25|[01]|7f)[0-9a-f]{2}';
const targetSegment = String.raw`(?:[\w@]|${escaped})(?:[\w.:@=+-]|${escaped})*`;

/**
 * The changes that are none of keys. The control plane decodes and normalizes a path again, so only plain segments are known to
 * lead where they seem to.
 */
const ofFleet = new RegExp(
  String.raw`^/admin/(?:chaos|config/(?:reload|check)|fleet/\w[\w.:@-]*/[a-z]+|requests/\w+/(?:cancel|move)|upstreams(?:(?:/|%2F)${targetSegment})+|webhooks/[\w-]+(?:/replay)?|queues(?:/\w[\w.:@-]*)+)/?(?:\?|$)`,
  'i',
);

/**
 * The console's page, which is the same for all of its paths, and its assets. Only plain segments: the control plane could read
 * others as a path outside of the console.
 */
export const consolePage = new RegExp(
  String.raw`^/admin(?:/console(?:/(?:\w|${escaped})(?:[\w.:@=+-]|${escaped})*)*)?/?(?:\?|$)`,
  'i',
);

/** Whether a request for this path of the control plane may change keys. */
export const mayChangeKeys = (method: string, url: string): boolean =>
  method !== 'GET' && method !== 'HEAD' && !ofFleet.test(url);

/**
 * The paths that the control plane serves: `/admin`, and all below it. The proxy is
 * loaded with the first such request, as most ingresses never get one.
 */
export function controlPlaneRoutes(scope: FastifyInstance, services: Services): void {
  const { config, findControlPlane, onError } = services;
  let loading: ReturnType<typeof load> | undefined;
  const load = () =>
    import('./control-plane-app.ts').then(async (module) => ({
      app: await module.buildControlPlaneProxy(onError),
      calls: module.calls,
    }));

  const route = {
    // Before its body is read: the control plane reads that itself.
    async onRequest(request: FastifyRequest, reply: FastifyReply) {
      const controlPlane = await within(findControlPlane());
      if (!controlPlane) throw apiError('no_control_plane');
      loading ??= load().catch((error: unknown) => {
        loading = undefined;
        throw error;
      });
      const { app, calls } = await loading;
      const actor = config.admin?.user ?? localActor;
      calls.set(request.raw, { controlPlane, actor, address: addressOf(request), id: request.id });
      reply.hijack();
      app.routing(request.raw, reply.raw);
      return reply;
    },
    handler: () => undefined,
  };
  scope.route({ ...route, method: ['GET', 'HEAD'], url: '/admin' });
  const method = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
  scope.route({ ...route, method, url: controlPlanePath });
}
