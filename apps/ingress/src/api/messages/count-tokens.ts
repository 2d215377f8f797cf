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

/**
 * `POST /v1/messages/count_tokens`: an estimate without a tokenizer, the same that limits and budgets use, because an
 * ingress asks no provider.
 */
export function countTokensRoute(app: FastifyInstance, { config }: Services): void {
  const { errorBody, head } = messages;
  app.post(
    `${messages.path}/count_tokens`,
    { config: { errorBody, errorHead: head } },
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
