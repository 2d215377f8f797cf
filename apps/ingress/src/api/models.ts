import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isPattern, serveModel } from '@millrace/shared/domain/model-names';
import { mayUse } from '../auth/api-keys.ts';
import type { Services } from '../services.ts';
import { apiError } from '../api-error.ts';

/** The models that a key may use, as OpenAI lists them, or Anthropic for a client that names a version of its API. A name that a wildcard serves can be asked for; the list cannot have all. */
export function modelRoutes(app: FastifyInstance, { config }: Services): void {
  const created = Math.floor(Date.now() / 1000);
  const createdAt = new Date(created * 1000).toISOString();
  const describeFor = ({ headers }: FastifyRequest): ((id: string) => object) => {
    if (headers['anthropic-version'] === undefined) {
      return (id: string) => ({ id, object: 'model', created, owned_by: 'millrace' });
    }
    return (id: string) => ({ type: 'model', id, display_name: id, created_at: createdAt });
  };

  app.get('/v1/models', (request) => {
    const ids = Object.keys(config.models).filter(
      (alias) => !isPattern(alias) && mayUse(request.principal, alias),
    );
    const describe = describeFor(request);
    const data = ids.map((id) => describe(id));
    if (request.headers['anthropic-version'] === undefined) return { object: 'list', data };
    return { data, has_more: false, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null };
  });

  // Aliases may contain slashes.
  app.get<{ Params: { '*': string } }>('/v1/models/*', (request) => {
    const alias = request.params['*'];
    if (serveModel(config.models, alias) && mayUse(request.principal, alias))
      return describeFor(request)(alias);
    throw apiError('model_not_found', { model: alias });
  });
}
