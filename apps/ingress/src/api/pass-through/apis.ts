import type { Endpoint } from '@millrace/shared/domain/request';
import { refuse } from '../../errors.ts';
import type { Refused } from '../../errors.ts';
import { chatCompletions } from '../chat-completions/api.ts';
import { refuseType } from '../json-body.ts';
import type { ApiDescription } from '../openapi/client-api.ts';
import type { ClientApi } from '../port.ts';
import {
  embeddingsDescription,
  moderationsDescription,
  rerankDescription,
} from './descriptions.ts';

/*
 * OpenAI's APIs whose requests and answers pass through (formats/src/pass-through). They are whole calls: their logs have a
 * result and no chunks. Errors have OpenAI's form.
 */

/** `check`: refuses a body without a prompt that can be read. `model`: of a request that names none. */
function passThroughApi(
  path: Endpoint,
  description: ApiDescription,
  check: (body: Record<string, unknown>) => Refused | undefined,
  defaultModel?: string,
): ClientApi {
  return {
    ...chatCompletions,
    path,
    description,
    parse(body) {
      const { model = defaultModel, stream } = body;
      if (model === undefined || model === '') {
        return refuse('invalid_request', {
          message: 'You must provide a model parameter.',
          param: 'model',
        });
      }
      if (typeof model !== 'string') return refuseType('model', 'a string', model);
      if (stream === true) {
        return refuse('invalid_value', {
          param: 'stream',
          expected: `false, because ${path} has no streams`,
        });
      }
      return check(body) ?? { kind: 'parsed', model, stream: false, includeUsage: false };
    },
  };
}

/** A text, or a list that is not empty: of texts, of tokens, or of parts. The provider checks its items. */
function checkInput({ input }: Record<string, unknown>): Refused | undefined {
  if (Array.isArray(input)) {
    return input.length === 0 ? refuse('empty_array', { param: 'input' }) : undefined;
  }
  return typeof input === 'string' ? undefined : refuseType('input', 'a string or an array', input);
}

export const embeddings = passThroughApi('/v1/embeddings', embeddingsDescription, checkInput);

/** OpenAI's own default. */
export const moderations = passThroughApi(
  '/v1/moderations',
  moderationsDescription,
  checkInput,
  'omni-moderation-latest',
);

/** As Cohere, Jina, Voyage and vLLM have it; OpenAI has none. Some of them also rank images, which are objects. */
export const rerank = passThroughApi('/v1/rerank', rerankDescription, ({ query, documents }) => {
  if (query === undefined || query === null || query === '') {
    return refuse('missing_required_parameter', { param: 'query' });
  }
  if (!Array.isArray(documents)) return refuseType('documents', 'an array', documents);
  return documents.length === 0 ? refuse('empty_array', { param: 'documents' }) : undefined;
});
