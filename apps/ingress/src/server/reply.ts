import type { ServerResponse } from 'node:http';
import type { OpenAiError } from '@millrace/shared/domain/entry';
import { toApiError } from '../api-error.ts';
import { factsOf } from '../observe/request-log.ts';

/** The body of an error for a client of an API, as a value for JSON. */
export type ErrorBody = (error: OpenAiError) => unknown;

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
  const body = JSON.stringify(errorBody(error));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    ...headers,
    ...own,
  });
  response.end(body);
}
