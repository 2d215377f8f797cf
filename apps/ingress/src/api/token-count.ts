import { InvalidRequest } from '@millrace/formats/client-port';
import type { ClientFormat } from '@millrace/formats/client-port';
import { serveModel } from '@millrace/shared/domain/model-names';
import { tokensInJson } from '@millrace/shared/domain/tokens';
import type { FastifyRequest } from 'fastify';
import { apiError } from '../api-error.ts';
import { mayUse } from '../auth/api-keys.ts';
import type { Services } from '../services.ts';

/**
 * The tokens of a prompt by an estimate without a tokenizer, the same that limits and budgets use, because an ingress asks no
 * provider. Throws an ApiError if the body is not valid, or its model is none that the key may use.
 */
export function countPromptTokens(
  format: ClientFormat,
  body: Record<string, unknown>,
  { principal }: Pick<FastifyRequest, 'principal'>,
  { config }: Pick<Services, 'config'>,
): number {
  const inner = readInner(format, body);
  const model = String(body['model']);
  if (!serveModel(config.models, model) || !mayUse(principal, model)) {
    throw apiError('model_not_found', { model });
  }
  return Math.ceil(tokensInJson(inner));
}

/** The prompt in the inner form. */
function readInner(format: ClientFormat, body: Record<string, unknown>): string {
  try {
    return format.toInner(body).body;
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    throw apiError('invalid_request', { message: error.message, param: error.param });
  }
}
