import type { ServerResponse } from 'node:http';
import { toApiError } from '../errors.ts';
import { factsOf } from '../observe/request-log.ts';

/** Answers with the OpenAI error object. For responses that fastify has handed over. */
export function sendError(
  response: ServerResponse,
  thrown: unknown,
  headers: Record<string, string> = {},
): void {
  const { status, error, headers: own } = toApiError(thrown);
  factsOf(response).code = error.code ?? `status_${status}`;
  const body = JSON.stringify({ error });
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    ...headers,
    ...own,
  });
  response.end(body);
}
