import { anthropicMessagesClient } from '@millrace/formats/anthropic-messages/client/format';
import type { FastifyInstance } from 'fastify';
import type { Services } from '../../services.ts';
import { parseObject } from '../json-body.ts';
import { countPromptTokens } from '../token-count.ts';
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

/** `POST /v1/messages/count_tokens`. */
export function countTokensRoute(app: FastifyInstance, services: Services): void {
  const { errorBody, head } = messages;
  app.post(
    `${messages.path}/count_tokens`,
    { config: { errorBody, errorHead: head, operation } },
    (request) => {
      // The request has no `max_tokens`.
      const body = { ...parseObject(request.body), max_tokens: 1 };
      const tokens = countPromptTokens(anthropicMessagesClient, body, request, services);
      return { input_tokens: tokens };
    },
  );
}
