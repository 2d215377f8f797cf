import { anthropicMessagesClient } from '@millrace/formats/anthropic-messages/client/format';
import { InvalidRequest } from '@millrace/formats/client-port';
import { serveModel } from '@millrace/shared/domain/model-names';
import { tokensInJson } from '@millrace/shared/domain/tokens';
import type { FastifyInstance } from 'fastify';
import { apiError } from '../../api-error.ts';
import { mayUse } from '../../auth/api-keys.ts';
import type { Services } from '../../services.ts';
import { parseObject } from '../json-body.ts';
import { messages } from './api.ts';
import { ofAny, ofBodies, ofClients } from '../openapi/error-groups.ts';
import { ref } from '../openapi/operation.ts';
import type { Operation } from '../openapi/operation.ts';

const operation: Operation = {
  tag: 'Client APIs',
  access: 'key',
  summary: 'Estimate the tokens of a message',
  description: 'An estimate without a tokenizer, because an ingress asks no provider.',
  reference: 'https://docs.claude.com/en/api/messages-count-tokens',
  body: {
    schema: {
      type: 'object',
      properties: {
        model: { type: 'string', minLength: 1 },
        messages: { type: 'array', minItems: 1, items: { type: 'object' } },
      },
      required: ['model', 'messages'],
    },
    example: { model: 'simulated', messages: [{ role: 'user', content: 'Hello' }] },
  },
  answers: {
    '200': {
      description: 'The estimate.',
      content: {
        'application/json': {
          type: 'object',
          properties: { input_tokens: { type: 'integer' } },
          required: ['input_tokens'],
        },
      },
    },
  },
  errors: [...ofAny, ...ofClients, ...ofBodies, 'model_not_found'],
  errorSchema: ref('MessageError'),
};

/**
 * `POST /v1/messages/count_tokens`: an estimate without a tokenizer, the same that limits and budgets use, because an
 * ingress asks no provider.
 */
export function countTokensRoute(app: FastifyInstance, { config }: Services): void {
  const { errorBody, head } = messages;
  app.post(
    `${messages.path}/count_tokens`,
    { config: { errorBody, errorHead: head, operation } },
    (request) => {
      const body = parseObject(request.body);
      const inner = readInner(body);
      const model = String(body['model']);
      if (!serveModel(config.models, model) || !mayUse(request.principal, model)) {
        throw apiError('model_not_found', { model });
      }
      return { input_tokens: Math.ceil(tokensInJson(inner)) };
    },
  );
}

/** The prompt in the inner form. The request has no `max_tokens`. */
function readInner(body: Record<string, unknown>): string {
  try {
    return anthropicMessagesClient.toInner({ ...body, max_tokens: 1 }).body;
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    throw apiError('invalid_request', { message: error.message, param: error.param });
  }
}
