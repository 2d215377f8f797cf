import type { FastifyInstance } from 'fastify';
import { isPattern, serveModel } from '@millrace/shared/domain/model-names';
import { mayUse } from '../auth/api-keys.ts';
import type { Services } from '../services.ts';
import { apiError } from '../api-error.ts';

/** The models that a key may use, as OpenAI lists them. A name that a wildcard serves can be asked for; the list cannot have all. */
export function modelRoutes(app: FastifyInstance, { config }: Services): void {
  const created = Math.floor(Date.now() / 1000);
  const describe = (id: string) => ({ id, object: 'model', created, owned_by: 'millrace' });

  app.get('/v1/models', (request) => ({
    object: 'list',
    data: Object.keys(config.models)
      .filter((alias) => !isPattern(alias) && mayUse(request.principal, alias))
      .map(describe),
  }));

  // Aliases may contain slashes.
  app.get<{ Params: { '*': string } }>('/v1/models/*', (request) => {
    const alias = request.params['*'];
    if (serveModel(config.models, alias) && mayUse(request.principal, alias))
      return describe(alias);
    throw apiError('model_not_found', { model: alias });
  });
}
