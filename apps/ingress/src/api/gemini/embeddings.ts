import { geminiClient } from '@millrace/formats/gemini/client/format';
import { isJsonObject } from '@millrace/shared/domain/json';
import { refuse } from '../../errors.ts';
import { chatCompletions } from '../chat-completions/api.ts';
import { refuseType } from '../json-body.ts';
import type { ClientApi } from '../port.ts';
import { embeddingsDescription } from './description.ts';

/**
 * Google's `embedContent` and `batchEmbedContents`: whole calls, of which nothing is continued. A body with `requests` is a batch. Their
 * URLs are those of api.ts.
 */
export const geminiEmbeddings: ClientApi = {
  ...chatCompletions,
  path: '/v1beta/models:embedContent',
  urls: [],
  description: embeddingsDescription,
  errorBody: (error, status) => geminiClient.errorBody(error, status),
  parse(body) {
    const { model, requests, content, stream } = body;
    if (typeof model !== 'string' || model === '') return refuseType('model', 'a string', model);
    if (stream === true) {
      return refuse('invalid_value', {
        param: 'stream',
        expected: 'false, because embeddings have no streams',
      });
    }
    const parsed = { kind: 'parsed', model, stream: false, includeUsage: false } as const;
    if (requests === undefined) {
      return isJsonObject(content) ? parsed : refuseType('content', 'an object', content);
    }
    if (!Array.isArray(requests)) return refuseType('requests', 'an array', requests);
    if (requests.length === 0) return refuse('empty_array', { param: 'requests' });
    const wrong = requests.findIndex((one) => !isJsonObject(one) || !isJsonObject(one['content']));
    if (wrong < 0) return parsed;
    return refuseType(`requests[${wrong}].content`, 'an object', undefined);
  },
};
