import { apiError } from '../api-error.ts';
import { chatCompletions } from './chat-completions/api.ts';
import type { ClientApi } from './port.ts';

/** The client APIs. The first is the default for jobs and frames that name none. */
export const clientApis = [chatCompletions] as const satisfies readonly [ClientApi, ...ClientApi[]];

const names = clientApis.map(({ path }) => `'${path}'`).join(' or ');

/** The API that a job or a frame names by `endpoint`. Throws an ApiError on another name. */
export function readEndpoint(endpoint: unknown): ClientApi {
  if (endpoint === undefined) return clientApis[0];
  const api = clientApis.find(({ path }) => path === endpoint);
  if (api) return api;
  throw apiError('invalid_value', { param: 'endpoint', expected: names });
}
