import type { Endpoint } from '@millrace/shared/domain/request';
import { apiError } from '../api-error.ts';
import { chatCompletions } from './chat-completions/api.ts';
import { completions } from './completions/api.ts';
import { gemini } from './gemini/api.ts';
import { geminiEmbeddings } from './gemini/embeddings.ts';
import { messages } from './messages/api.ts';
import {
  compactResponses,
  embeddings,
  imageEdits,
  imageGenerations,
  imageVariations,
  moderations,
  rerank,
  speech,
  transcriptions,
  translations,
} from './pass-through/apis.ts';
import type { ClientApi } from './port.ts';
import { responses } from './responses/api.ts';

/** The client APIs. The first is the default for jobs and frames that name none. */
export const clientApis: readonly [ClientApi, ...ClientApi[]] = [
  chatCompletions,
  completions,
  messages,
  responses,
  compactResponses,
  embeddings,
  moderations,
  rerank,
  imageGenerations,
  imageEdits,
  imageVariations,
  speech,
  transcriptions,
  translations,
  gemini,
  geminiEmbeddings,
];

const byPath = new Map(clientApis.map((api) => [api.path, api]));

/** The API by which a request came; the first one for an endpoint of a later version. */
export const clientApiOf = (endpoint: Endpoint): ClientApi => byPath.get(endpoint) ?? clientApis[0];

const names = clientApis.map(({ path }) => `'${path}'`).join(' or ');

/** The API that a job or a frame names by `endpoint`. Throws an ApiError on another name. */
export function readEndpoint(endpoint: unknown): ClientApi {
  if (endpoint === undefined) return clientApis[0];
  const api = clientApis.find(({ path }) => path === endpoint);
  if (api) return api;
  throw apiError('invalid_value', { param: 'endpoint', expected: names });
}
