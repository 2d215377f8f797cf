import { logStart, sameEntryId } from '@millrace/shared/domain/entry';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { apiError, errorOf } from '../api-error.ts';
import { factsOf, noteModel } from '../observe/request-log.ts';
import type { Services } from '../services.ts';
import { openAnswer } from './answer.ts';
import { bytesAnswer } from './bytes-answer.ts';
import { clientApis } from './client-apis.ts';
import { readLastEventId } from './cursor.ts';
import {
  readContinuation,
  readDeadline,
  readEventIds,
  readIdempotencyKey,
  readMaxCost,
  readOnDisconnect,
  readPriority,
} from './headers.ts';
import { makeJob } from './jobs/routes.ts';
import { parseObject } from './json-body.ts';
import { readRequest } from './read-request.ts';
import type { ApiUrl, ClientApi, ParsedBody } from './port.ts';
import { operationOf } from './openapi/client-api.ts';
import { factsOfAnswer } from './answer-facts.ts';
import { adoptId } from '../server/request-id.ts';
import { streamedAnswer } from './streamed-answer.ts';
import { wholeAnswer } from './whole-answer.ts';

/** Adds the routes of all client APIs. */
export function clientApiRoutes(app: FastifyInstance, services: Services): void {
  for (const api of clientApis) {
    for (const url of api.urls ?? [{ url: api.path }]) clientApiRoute(app, services, api, url);
  }
}

function clientApiRoute(
  app: FastifyInstance,
  services: Services,
  ownApi: ClientApi,
  { url, apiOf, members, answer }: ApiUrl,
): void {
  const operation = operationOf(ownApi);
  const { errorBody, head: errorHead, takesForms } = ownApi;
  const config = { errorBody, errorHead, takesForms, operation };
  app.post(url, { config }, async (request, reply) => {
    const own = answer?.(request, services);
    if (own) return own;
    const span = services.tracing?.beginHttp(request);
    if (span) factsOf(reply.raw).span = span;
    const query = request.query as Record<string, unknown>;
    const params = request.params as Record<string, string>;
    const api = apiOf?.(params) ?? ownApi;
    const ofUrl = members?.(params, query);
    const text = String(request.body);
    const { principal, headers } = request;
    const body = parseObject(request.body);
    const resolved = await api.resolve?.(body, { text, principal, client: reply.raw, services });
    if (resolved) releaseWithBody(request, reply, resolved.release);
    const read = readRequest(api, { text, body, members: ofUrl, headers }, resolved);
    const { parsed } = read;
    request.body = read.body;
    if (isLarge(String(request.body))) await nextTurn();
    noteModel(reply.raw, parsed.model);
    const { submission, after, withIds } = readSubmission(api, parsed, request);
    const loading = services.loadPrices(submission);
    if (loading) await loading;
    // The client has left (`close` will not be emitted again), or a drain has answered it.
    if (reply.raw.destroyed || reply.sent) return reply.hijack();
    const prepared = services.exchanges.prepare({ ...submission, trace: span?.trace });
    if (prepared.kind === 'refused') throw errorOf(prepared);
    adoptId(reply, prepared.meta.id);
    // An answer can take long, and the body is no longer needed.
    request.body = undefined;
    const { meta } = prepared;
    if (parsed.background && !parsed.stream) {
      const made = await makeJob(services, prepared, (rates) => reply.headers(rates));
      if (made.kind === 'refused') throw errorOf(made);
      if (made.kind === 'joined') reply.header('idempotent-replayed', 'true');
      adoptId(reply, made.id);
      return reply.send(api.encodeQueued?.(factsOfAnswer({ ...meta, id: made.id })));
    }
    // From now on the exchange writes the answer, not this handler.
    reply.hijack();
    const call = { api, prepared, reply, services, after, facts: factsOfAnswer(meta) };
    openAnswer(call, (context) => {
      if (!parsed.stream) return wholeAnswer(context);
      return api.streamsBytes?.(call.facts)
        ? bytesAnswer(context)
        : streamedAnswer(context, withIds);
    });
    return reply;
  });
}

/** `release` is called when the request's body is not held any more, and at the end of its answer. */
function releaseWithBody(request: FastifyRequest, reply: FastifyReply, release: () => void): void {
  const { releaseBody } = request;
  request.releaseBody = () => {
    releaseBody();
    release();
  };
  if (reply.raw.destroyed) release();
  else reply.raw.once('close', release);
}

/** Throws an ApiError on a header that cannot be read. */
function readSubmission(api: ClientApi, parsed: ParsedBody, request: FastifyRequest) {
  const { headers, principal } = request;
  const body = String(request.body);
  const { model, stream, includeUsage, inner, echo, keepsBody } = parsed;
  const isBackground = parsed.background === true;
  const attached = !isBackground && readOnDisconnect(headers) === 'cancel';
  const idempotency = readIdempotencyKey(request.raw, { route: api.path, text: body });
  const cursor = stream ? readLastEventId(headers) : undefined;
  const after = cursor ?? logStart;
  const withIds = readEventIds(headers) ?? cursor !== undefined;
  // Without an Idempotency-Key the call creates a new request, which has no entry yet.
  if (!idempotency && !sameEntryId(after, logStart)) throw apiError('cursor_ahead');
  const submission = {
    principal,
    endpoint: api.path,
    body,
    inner,
    echo,
    keepsBody,
    model,
    stream,
    includeUsage,
    reader: 'plain' as const,
    attached,
    read: !isBackground || stream,
    deadlineAt: readDeadline(headers['x-millrace-deadline'], Date.now()),
    priority: readPriority(headers['x-millrace-priority']),
    continuation: readContinuation(headers),
    maxCost: readMaxCost(headers['x-millrace-max-cost']),
    traceparent: typeof headers.traceparent === 'string' ? headers.traceparent : undefined,
    idempotency,
  };
  return { submission, after, withIds };
}
