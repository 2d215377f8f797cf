import type { ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import { usageFields } from '@millrace/shared/cost/usage-totals';
import type { UsageTotals } from '@millrace/shared/cost/usage-totals';
import { plainCode } from '@millrace/shared/runtime/log-redaction';
import type { Logger } from '@millrace/shared/runtime/logger';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { plainAddress } from '../auth/addresses.ts';
import type { Principal } from '../auth/api-keys.ts';
import type { Refusal } from './refusals.ts';
import type { RequestSpan } from './tracing.ts';
import { addressOf } from '../auth/client-address.ts';
import { pathOf } from '../url-path.ts';

/*
 * Logs one line for each request that ended, over HTTP and on WebSockets, including refusals. It has the id
 * that the client got as `x-request-id`, and neither bodies nor headers nor the query.
 */

/** `left`: its client left before the end. `handed_over`: this ingress stops, and the request continues. */
export type RequestOutcome = 'completed' | 'failed' | 'cancelled' | 'left' | 'handed_over';

/** What the attempts that a reader saw have used. */
type Used = {
  readonly servedBy: string | undefined;
  /** Of the attempts that have ended. */
  readonly usage: UsageTotals;
  /** The attempts that have not ended. */
  readonly open: { readonly size: number };
};

/** Facts that the modules which handle a request add to its line. */
export type RequestFacts = {
  /** Its span, if it is traced. */
  span?: RequestSpan | undefined;
  /** When the request arrived, by `performance.now()`. */
  since?: number;
  model?: string;
  /** The code of the error that the client got. */
  code?: string | null;
  /** The status of an answer that was written directly to the socket. */
  status?: number;
  /** The number of attempts that this reader saw, and the target of the last one. */
  progress?: {
    readonly attempts: number;
    /** When the first text of a stream was written for this reader, by `performance.now()`. */
    readonly firstTextAt: number | undefined;
  } & Used;
};

/**
 * Stored on the response itself, because a scavenge moves every value of a WeakMap, and all that it refers
 * to, to old space.
 */
const factsKey = Symbol('facts');

/** The facts of the request that a response answers. */
export function factsOf(response: ServerResponse): RequestFacts {
  const holder: ServerResponse & { [factsKey]?: RequestFacts } = response;
  return (holder[factsKey] ??= {});
}

/** The model as the client wrote it, which may be unknown here. */
export function noteModel(response: ServerResponse, model: string): void {
  factsOf(response).model = notedModel(model);
}

export const notedModel = (model: string): string => model.slice(0, longestText);

type Log = Pick<Logger, 'debug' | 'info' | 'warn'>;

/** Probes call these every second, so they are logged at `debug` only. */
const probes = new Set(['/healthz', '/readyz', '/metrics']);

/** The status of a request whose client left before it received one, here and in the metrics. */
const leftBeforeHead = 499;

/** Characters of a path or a model that a client may have made up. */
const longestText = 200;

export function logRequests(app: FastifyInstance, log: Log): void {
  app.addHook('onRequest', (request, reply, done) => {
    logWhenEnded(log, request, reply.raw);
    done();
  });
}

/** For a request that no hook has seen. */
export function logWhenEnded(log: Log, request: FastifyRequest, response: ServerResponse): void {
  const since = performance.now();
  factsOf(response).since = since;
  // At the end the socket may be gone.
  const address = addressOf(request);
  response.once('close', () => {
    const path = pathOf(request.url).slice(0, longestText);
    const { model, code, progress, span, ...facts } = factsOf(response);
    // An opened WebSocket has no response of its own: ws has answered the handshake.
    const isSocket = request.ws && !response.headersSent;
    const sent = isSocket ? 101 : response.headersSent ? response.statusCode : leftBeforeHead;
    const status = facts.status ?? sent;
    const outcome = outcomeOf(code, isSocket || response.writableFinished, status);
    const level = probes.has(path) ? 'debug' : levelOf(outcome);
    const { id } = request;
    // Undefined before authentication, and on routes that need no key.
    const key = (request as { principal?: Principal }).principal?.keyId;
    span?.end({ id, status, outcome, code, key, model, attempts: progress?.attempts });
    log[level](
      {
        id,
        method: request.method,
        path,
        status,
        key,
        address,
        model,
        ms: Math.round(performance.now() - since),
        outcome,
        code: plainCode(code),
        attempts: progress?.attempts,
        served_by: progress?.servedBy,
        first_token_ms: sinceMs(since, progress?.firstTextAt),
        ...(progress && usedFields(progress)),
      },
      'request',
    );
  });
}

/**
 * The tokens and the cost in a request's line; no fields without an attempt. The usage of an attempt is known when it
 * ends, which for a request that was cancelled, or whose client left, is later than this line.
 */
export function usedFields({ servedBy, usage, open }: Used): Partial<UsageFields> {
  if (servedBy === undefined) return {};
  return open.size > 0 ? { cost: null } : usageFields(usage);
}

type UsageFields = ReturnType<typeof usageFields>;

const sinceMs = (since: number, at: number | undefined): number | undefined =>
  at === undefined ? undefined : Math.round(at - since);

/** Logs the answer to bytes that were no request, or none that is served here. */
export function logUnread(
  log: Log,
  { reason, address }: Refusal,
  { id, status }: { id: string; status: number },
): void {
  const from = plainAddress(address);
  log.warn({ id, status, address: from, outcome: 'failed', code: reason }, 'request');
}

/** The outcome of a response that the client gets, or got, over HTTP. */
export function outcomeOf(
  code: string | null | undefined,
  isFinished: boolean,
  status: number,
): RequestOutcome {
  if (code === 'server_draining') return 'handed_over';
  if (code === 'request_cancelled') return 'cancelled';
  if (code !== undefined) return 'failed';
  if (!isFinished) return 'left';
  return status < 400 ? 'completed' : 'failed';
}

const levelOf = (outcome: RequestOutcome) => (outcome === 'failed' ? 'warn' : 'info');

/** One request on a WebSocket. */
export type SocketLine = {
  /** Of the WebSocket. */
  path: string;
  id?: string | undefined;
  frame: 'create' | 'subscribe' | (string & {});
  key: string | undefined;
  model?: string | undefined;
  ms?: number;
  outcome: RequestOutcome;
  code?: string | null | undefined;
  attempts?: number;
  served_by?: string | undefined;
  first_token_ms?: number | undefined;
} & Partial<UsageFields>;

export function logSocketRequest(log: Log, line: SocketLine): void {
  const code = plainCode(line.code);
  log[levelOf(line.outcome)]({ ...line, code }, 'request');
}
