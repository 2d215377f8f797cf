import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isPattern, serveModel } from '@millrace/shared/domain/model-names';
import { mayUse } from '../auth/api-keys.ts';
import type { Services } from '../services.ts';
import { apiError } from '../api-error.ts';
import { ofAny, ofClients } from './openapi/error-groups.ts';
import { ref } from './openapi/operation.ts';
import type { Operation, Schema } from './openapi/operation.ts';

const object = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
});

const text = { type: 'string' };

export const modelSchemas: Readonly<Record<string, Schema>> = {
  Model: {
    description: 'As OpenAI describes a model, or Anthropic for a client with `anthropic-version`.',
    oneOf: [
      object({
        id: text,
        object: { const: 'model' },
        created: { type: 'integer' },
        owned_by: text,
      }),
      object({ type: { const: 'model' }, id: text, display_name: text, created_at: text }),
    ],
  },
  Models: {
    oneOf: [
      object({ object: { const: 'list' }, data: { type: 'array', items: ref('Model') } }),
      object({
        data: { type: 'array', items: ref('Model') },
        has_more: { const: false },
        first_id: { type: ['string', 'null'] },
        last_id: { type: ['string', 'null'] },
      }),
    ],
  },
};

const anthropicVersion = {
  name: 'anthropic-version',
  in: 'header',
  description: 'The answer has the form of Anthropic.',
  schema: text,
} as const;

const listOperation: Operation = {
  tag: 'Models',
  access: 'key',
  summary: 'List the models that this key may use',
  description: 'Without those that only a wildcard serves.',
  parameters: [anthropicVersion],
  answers: {
    '200': { description: 'The models.', content: { 'application/json': ref('Models') } },
  },
  errors: [...ofAny, ...ofClients],
};

const viewOperation: Operation = {
  tag: 'Models',
  access: 'key',
  summary: 'Read a model',
  parameters: [
    {
      name: 'model',
      in: 'path',
      description: 'Its name. A slash in it may stay as it is.',
      schema: text,
    },
    anthropicVersion,
  ],
  answers: { '200': { description: 'The model.', content: { 'application/json': ref('Model') } } },
  errors: [...ofAny, ...ofClients, 'model_not_found'],
};

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

  app.get('/v1/models', { config: { operation: listOperation } }, (request) => {
    const ids = Object.keys(config.models).filter(
      (alias) => !isPattern(alias) && mayUse(request.principal, alias),
    );
    const describe = describeFor(request);
    const data = ids.map((id) => describe(id));
    if (request.headers['anthropic-version'] === undefined) return { object: 'list', data };
    return { data, has_more: false, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null };
  });

  // Aliases may contain slashes.
  app.get<{ Params: { '*': string } }>(
    '/v1/models/*',
    { config: { operation: viewOperation } },
    (request) => {
      const alias = request.params['*'];
      if (serveModel(config.models, alias) && mayUse(request.principal, alias))
        return describeFor(request)(alias);
      throw apiError('model_not_found', { model: alias });
    },
  );
}
