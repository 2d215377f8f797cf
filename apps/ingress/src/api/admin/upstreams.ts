import type { FastifyInstance } from 'fastify';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';
import { ApiError, apiError } from '../../api-error.ts';

/** The reports of the workers about themselves and their upstreams. */
export function upstreamRoutes(scope: FastifyInstance, services: Services): void {
  const { reports, onError } = services;

  scope.get('/admin/upstreams', async () => {
    const found = await within(reports()).catch((error: unknown) => {
      if (error instanceof ApiError) throw error;
      onError(error);
      throw apiError('queue_unavailable');
    });
    return {
      workers: found.map(({ name, at, sections }) => ({ name, at: at / 1000, ...sections })),
    };
  });
}
