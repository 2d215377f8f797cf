import { isPattern, serveModel } from '@millrace/shared/domain/model-names';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { apiError } from '../../api-error.ts';
import { mayUse } from '../../auth/api-keys.ts';
import type { Services } from '../../services.ts';
import { gemini, versionsOfGoogle } from '../gemini/api.ts';
import { ofAny, ofClients } from '../openapi/error-groups.ts';
import { ref } from '../openapi/operation.ts';
import type { Operation } from '../openapi/operation.ts';
import { formFor, google } from './forms.ts';
import type { KnownModel, ModelForm } from './forms.ts';
import { createKnownModels } from './known-models.ts';

const vendorHeaders = [
  {
    name: 'anthropic-version',
    in: 'header',
    description: 'The answer has the form of Anthropic.',
    schema: { type: 'string' },
  },
] as const;

const nameParameter = {
  name: 'model',
  in: 'path',
  description: 'Its name. A slash in it may stay as it is.',
  schema: { type: 'string' },
} as const;

const common = { tag: 'Models', access: 'key' } as const;

const listOperation: Operation = {
  ...common,
  summary: 'List the models that this key may use',
  description: 'Without those that only a wildcard serves.',
  parameters: vendorHeaders,
  answers: {
    '200': { description: 'The models.', content: { 'application/json': ref('Models') } },
  },
  errors: [...ofAny, ...ofClients],
};

const viewOperation: Operation = {
  ...common,
  summary: 'Read a model',
  parameters: [nameParameter, ...vendorHeaders],
  answers: { '200': { description: 'The model.', content: { 'application/json': ref('Model') } } },
  errors: [...ofAny, ...ofClients, 'model_not_found'],
};

const ofGoogle = {
  reference: 'https://ai.google.dev/api/models',
  errorSchema: ref(`${gemini.description.name}Error`),
};

const googlesList: Operation = {
  ...listOperation,
  ...ofGoogle,
  parameters: [],
  answers: {
    '200': { description: 'The models.', content: { 'application/json': ref('GeminiModels') } },
  },
};

const googlesView: Operation = {
  ...viewOperation,
  ...ofGoogle,
  parameters: [nameParameter],
  answers: {
    '200': { description: 'The model.', content: { 'application/json': ref('GeminiModel') } },
  },
};

/**
 * The models that a key may use, in the form of the vendor whose client asks: OpenAI's, Anthropic's or Google's. A name that a
 * wildcard serves can be asked for; the list cannot have all.
 */
export function modelRoutes(app: FastifyInstance, { config, onError }: Services): void {
  const known = createKnownModels(config, onError);

  const list = async ({ principal }: FastifyRequest, form: ModelForm) => {
    const aliases = Object.entries(config.models).filter(
      ([alias]) => !isPattern(alias) && mayUse(principal, alias),
    );
    const loading = known.load(aliases.map(([, model]) => model));
    if (loading) await loading;
    const models = aliases.map(([alias, model]): KnownModel => ({
      id: alias,
      ...known.of({ alias, model, rest: undefined }),
    }));
    return form.list(models);
  };

  const view = async ({ principal, params }: FastifyRequest, form: ModelForm) => {
    const { '*': id } = params as { '*': string };
    const served = serveModel(config.models, id);
    if (!served || !mayUse(principal, id)) throw apiError('model_not_found', { model: id });
    const loading = known.load([served.model]);
    if (loading) await loading;
    return form.describe({ id, ...known.of(served) });
  };

  app.get('/v1/models', { config: { operation: listOperation } }, (request) =>
    list(request, formFor(request.headers)),
  );
  // Aliases may contain slashes.
  app.get('/v1/models/*', { config: { operation: viewOperation } }, (request) =>
    view(request, formFor(request.headers)),
  );
  const { errorBody, head: errorHead } = gemini;
  for (const version of versionsOfGoogle.filter((one) => one !== 'v1')) {
    const configOf = (operation: Operation) => ({ config: { operation, errorBody, errorHead } });
    app.get(`/${version}/models`, configOf(googlesList), (request) => list(request, google));
    app.get(`/${version}/models/*`, configOf(googlesView), (request) => view(request, google));
  }
}
