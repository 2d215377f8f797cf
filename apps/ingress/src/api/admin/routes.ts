import type { FastifyInstance } from 'fastify';
import type { Services } from '../../services.ts';
import { adminHeaders, refuse } from './access.ts';
import { controlPlaneRoutes } from './control-plane.ts';
import { sessionRoutes } from './session-routes.ts';

/**
 * The pages for operators, behind a password or, if the config has none, for this machine only. `isProxy`: whether an address is
 * that of a trusted proxy.
 */
export async function adminRoutes(
  app: FastifyInstance,
  services: Services,
  isProxy: (address: string) => boolean,
): Promise<void> {
  const { config, keyRing, sessionKeys, loginThrottle } = services;
  await app.register(async (scope) => {
    scope.addHook('onRequest', async (request, reply) => {
      for (const [name, value] of Object.entries(adminHeaders)) reply.raw.setHeader(name, value);
      const { admin } = config;
      const isKeyRequired = () => keyRing.isRequired();
      const known = { admin, sessionKeys, loginThrottle, isKeyRequired, isProxy };
      const refusal = await refuse(request, reply, known);
      if (refusal) throw refusal;
    });
    sessionRoutes(scope, services);
    controlPlaneRoutes(scope, services);
  });
}
