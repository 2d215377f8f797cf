import type { ServerResponse } from 'node:http';
import type { OpenAiError } from '@millrace/shared/domain/entry';
import { toApiError, withRequestId } from '../api-error.ts';
import { factsOf } from '../observe/request-log.ts';
import { requestIdHeader } from './request-id.ts';

/** The body of an error for a client of an API, as a value for JSON. `status`: of the HTTP response. */
export type ErrorBody = (error: OpenAiError, status: number) => unknown;

/** How a request's errors are written: the body, and headers from the id of the answer. */
export type ErrorForm = {
  errorBody: ErrorBody;
  errorHead?: ((id: string) => Record<string, string>) | undefined;
};

/** The error object of OpenAI, for all routes that belong to no other API. */
export const openAiErrorBody: ErrorBody = (error) => ({ error });

/** Answers with an error, for responses that fastify no longer handles. */
export function sendError(
  response: ServerResponse,
  thrown: unknown,
  headers: Record<string, string> = {},
  errorBody: ErrorBody = openAiErrorBody,
): void {
  const { status, error, headers: own } = toApiError(thrown);
  factsOf(response).code = error.code ?? `status_${status}`;
  const id = response.getHeader(requestIdHeader);
  const named = typeof id === 'string' ? withRequestId(error, id) : error;
  const body = JSON.stringify(errorBody(named, status));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    ...headers,
    ...own,
  });
  response.end(body);
}
