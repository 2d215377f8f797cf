import type { IncomingMessage, ServerResponse } from 'node:http';
import { BEHAVIOURS } from './catalogue.ts';
import type { FaultMemory } from './fault-memory.ts';
import { formatOf } from './formats.ts';
import type { RequestLog } from './request-log.ts';

export const JSON_TYPE = 'application/json; charset=utf-8';

export interface ViewParts {
  readonly name: string;
  readonly apiKey: string | undefined;
  readonly log: RequestLog;
  readonly faults: FaultMemory;
}

/** Answers all requests other than those to a model: the list of models, the request log. */
export function view(
  what: string,
  request: IncomingMessage,
  response: ServerResponse,
  { name, apiKey, log, faults }: ViewParts,
): void {
  const json = (status: number, value: unknown): void =>
    sendJson(response, status, JSON.stringify(value), name);
  switch (what) {
    case 'GET /v1/models':
    case 'GET /v1beta/models': {
      const format = formatOf(request.headers);
      if (apiKey === undefined || format.keyHeader(request.headers) === apiKey) {
        return json(200, modelList());
      }
      const error = format.error('invalid_api_key');
      return sendJson(response, error.status, format.errorBody(error, 'req_sim_view'), name);
    }
    case 'GET /__requests':
      return json(200, { provider: name, requests: log.requests });
    case 'DELETE /__requests':
      log.clear();
      return json(200, { deleted: true });
    case 'DELETE /__faults':
      faults.forget();
      return json(200, { deleted: true });
    case 'GET /':
      return json(200, { simulated: true, provider: name });
    default: {
      const message = `Unknown request URL: ${what}.`;
      const error = { message, type: 'invalid_request_error', param: null, code: 'unknown_url' };
      return json(404, { error });
    }
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: string,
  provider: string,
): void {
  response.writeHead(status, {
    'content-type': JSON_TYPE,
    'content-length': String(Buffer.byteLength(body)),
    'x-simulated-provider': provider,
  });
  response.end(body);
}

function modelList(): object {
  const data = Object.entries(BEHAVIOURS).map(([id, { help }]) => ({
    id,
    object: 'model',
    created: 0,
    owned_by: 'simulated by Millrace',
    description: `Simulated: ${help}.`,
  }));
  return { object: 'list', data };
}
