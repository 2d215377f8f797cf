import type { FastifyRequest } from 'fastify';
import { clientApis } from './client-apis.ts';
import { openAiErrorBody } from '../server/reply.ts';
import type { ErrorForm } from '../server/reply.ts';
import { pathOf } from '../url-path.ts';

/** The form of an error for a request: that of its route, else of the API that its path or its headers belong to. */
export function errorFormOf({
  routeOptions,
  url,
  headers,
}: Pick<FastifyRequest, 'routeOptions' | 'url' | 'headers'>): ErrorForm {
  // A request whose URL cannot be decoded has no route.
  const { errorBody, errorHead } = routeOptions?.config ?? {};
  if (errorBody) return { errorBody, errorHead };
  const path = pathOf(url);
  const api =
    clientApis.find((one) => path.startsWith(one.path)) ??
    clientApis.find((one) => one.isCalledBy?.(path, headers));
  return { errorBody: api?.errorBody ?? openAiErrorBody, errorHead: api?.head };
}
