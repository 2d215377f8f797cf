import { logStart } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { apiError, errorOf } from '../../api-error.ts';
import type { Principal } from '../../auth/api-keys.ts';
import { eventsPath } from '../../auth/authenticate.ts';
import { sseHeaders } from '../../delivery/sse-writer.ts';
import { startOf } from '../../delivery/start.ts';
import type { Refused } from '../../errors.ts';
import type { Prepared } from '../../exchange/prepare.ts';
import { factsOf, noteModel } from '../../observe/request-log.ts';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';
import { readEndpoint } from '../client-apis.ts';
import { parseCursor, readLastEventId } from '../cursor.ts';
import {
  readContinuation,
  readDeadline,
  readIdempotencyKey,
  readMaxCost,
  readPriority,
} from '../headers.ts';
import { parseObject, readInnerBody, readMetadata } from '../json-body.ts';
import type { Resolved } from '../port.ts';
import { resolveInner } from '../resolve-inner.ts';
import { adoptId } from '../../server/request-id.ts';
import { streamEvents } from './events.ts';
import { findJob } from './find-job.ts';
import { maxMetadataBytes } from '@millrace/shared/domain/webhook';
import { readWebhook } from './webhook.ts';
import { cancelOperation, createOperation, eventsOperation, viewOperation } from './operations.ts';
import { jobFields } from './schema.ts';
import { statusOf } from './view.ts';
import { addressOf } from '../../auth/client-address.ts';
import { recordAdminCancel } from './admin-cancel.ts';

type JobRoute = { Params: { id: string }; Querystring: { after?: string } };

export function jobRoutes(app: FastifyInstance, services: Services): void {
  app.post('/v1/jobs', { config: { operation: createOperation } }, async (request, reply) => {
    const span = services.tracing?.beginHttp(request);
    if (span) factsOf(reply.raw).span = span;
    const text = String(request.body);
    const { principal } = request;
    const context = { principal, client: reply.raw, services };
    const asked = parseObject(request.body);
    const resolved = await resolveInner(asked, text, context);
    if (resolved && reply.raw.destroyed) resolved.release();
    else if (resolved) reply.raw.once('close', resolved.release);
    const job = readJob(asked, text, services.config.webhooks, resolved);
    if (isLarge(text)) await nextTurn();
    const { traceparent, 'x-millrace-deadline': deadline } = request.headers;
    const priority = readPriority(request.headers['x-millrace-priority']);
    noteModel(reply.raw, job.model);
    const submission = {
      ...job,
      principal,
      deadlineAt: job.deadlineAt ?? readDeadline(deadline, Date.now()),
      priority: job.priority ?? priority,
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
      trace: span?.trace,
      continuation: readContinuation(request.headers),
      maxCost: job.maxCost ?? readMaxCost(request.headers['x-millrace-max-cost']),
      idempotency: readIdempotencyKey(request.raw, { route: '/v1/jobs', text }),
    };
    const loading = services.loadPrices(submission);
    if (loading) await loading;
    const prepared = services.exchanges.prepare(submission);
    if (prepared.kind === 'refused') throw errorOf(prepared);
    // A drain has answered it.
    if (reply.sent) return reply;
    let rates: Record<string, string> = {};
    const made = await makeJob(services, prepared, (headers) => (rates = headers));
    if (made.kind === 'refused') throw errorOf(made);
    if (made.kind === 'joined') reply.header('idempotent-replayed', 'true');
    const { id, status, created_at } =
      made.kind === 'joined'
        ? await viewJoined(services, request.principal, made.id)
        : queued(prepared.meta);
    adoptId(reply, id);
    return reply
      .code(202)
      .headers(rates)
      .header('location', `/v1/jobs/${id}`)
      .send({ id, status, created_at, events_url: `/v1/jobs/${id}/events` });
  });

  app.get<JobRoute>(
    '/v1/jobs/:id',
    { config: { operation: viewOperation } },
    async (request, reply) => {
      const described = await findJob(services, request.principal, request.params.id);
      adoptId(reply, described.meta.id);
      const view = await services.jobViews.view(described, reply.raw);
      return reply.type('application/json').send(view);
    },
  );

  app.delete<JobRoute>(
    '/v1/jobs/:id',
    { config: { operation: cancelOperation } },
    async (request, reply) => {
      const { meta, ended } = await findJob(services, request.principal, request.params.id);
      const by = ended ?? (await services.submitter.cancel(meta.id, 'cancelled on request'));
      services.keyLimits.ended(meta);
      const address = addressOf(request);
      await recordAdminCancel(services, request.principal, { address, meta, outcome: by });
      if (by === 'unknown') throw apiError('job_not_found', { id: meta.id });
      adoptId(reply, meta.id);
      return { id: meta.id, status: by === 'done' ? 'completed' : by };
    },
  );

  app.get<JobRoute>(
    eventsPath,
    { config: { operation: eventsOperation } },
    async (request, reply) => {
      const { id } = request.params;
      const found = await findJob(services, request.principal, id);
      adoptId(reply, id);
      const after = readCursor(request);
      if (request.method === 'HEAD') {
        reply.hijack();
        const isFinished = startOf(found, after).kind === 'finished';
        reply.raw.writeHead(isFinished ? 204 : 200, isFinished ? {} : sseHeaders).end();
        return undefined;
      }
      const hold = services.relay.hold(id);
      try {
        // Described again, now with the inbox subscribed: lines appended from now on arrive live.
        const described = await within(services.log.subscribe(id, services.inbox));
        if (!described) throw apiError('job_not_found', { id });
        // 204 makes an EventSource stop reconnecting after the end.
        const start = startOf(described, after);
        if (start.kind === 'finished') {
          return await reply.code(204).send();
        }
        reply.hijack();
        // The client left during the wait for Redis; `close` will not be emitted again.
        if (reply.raw.destroyed) return undefined;
        const { principal } = request;
        streamEvents({ described, start, response: reply.raw, principal, services });
        return undefined;
      } finally {
        hold.release();
      }
    },
  );
}

export type Made = { kind: 'created' | 'joined'; id: string };

/**
 * Creates a job. If a drain begins before Redis has the job, it is withdrawn, and the client creates it at
 * another ingress. `onCharged` gets the headers of the answer.
 */
export async function makeJob(
  { exchanges, connections }: Services,
  prepared: Prepared,
  onCharged: (headers: Record<string, string>) => unknown,
): Promise<Made | Refused> {
  const { promise, resolve } = Promise.withResolvers<Made | Refused>();
  const exchange = exchanges.open(prepared, {
    charged: onCharged,
    created: (id) => resolve({ kind: 'created', id }),
    joined: (id) => resolve({ kind: 'joined', id }),
    refused: resolve,
    // A job's exchange ends with its creation, and reads nothing.
    lines: () => true,
    reset: () => 'again',
    moved() {},
  });
  const creating = connections.add(() => exchange.drain());
  try {
    return await promise;
  } finally {
    creating.remove();
  }
}

const queued = ({ id, createdAt }: RequestMeta) => {
  return { id, status: 'queued', created_at: Math.floor(createdAt / 1000) };
};

async function viewJoined(services: Services, principal: Principal, id: string) {
  const { meta, ended } = await findJob(services, principal, id);
  const waits = !ended && (await findPosition(services, id)) !== undefined;
  return { ...queued(meta), status: ended ? statusOf(ended) : waits ? 'queued' : 'running' };
}

/** Undefined also if Redis fails: the answer is useful without the position. */
async function findPosition({ queue, onError }: Services, id: string): Promise<number | undefined> {
  try {
    return await within(queue.position(id));
  } catch (error) {
    onError(error);
    return undefined;
  }
}

/**
 * `Last-Event-ID` takes precedence over `?after=`: a reconnecting EventSource repeats its URL and sends the
 * newer cursor in the header. Throws a 400.
 */
function readCursor(request: FastifyRequest<JobRoute>): EntryId {
  const { after } = request.query;
  const newest = readLastEventId(request.headers);
  return newest ?? (after === undefined ? logStart : parseCursor(after, 'after'));
}

/** Throws an ApiError that names the field. The inner body is sent upstream byte for byte. */
export function readJob(
  job: Record<string, unknown>,
  text: string,
  webhooks: Services['config']['webhooks'],
  resolved?: Resolved,
) {
  for (const field of Object.keys(job)) {
    if (!jobFields.has(field)) {
      throw apiError('unknown_parameter', { param: field });
    }
  }
  const { endpoint, body, priority, deadline, max_cost, metadata, webhook } = job;
  return {
    ...readInnerBody(readEndpoint(endpoint), body, text, resolved),
    reader: 'native' as const,
    attached: false,
    read: false,
    deadlineAt: readDeadline(deadline, Date.now(), 'deadline'),
    priority: readPriority(priority, 'priority'),
    maxCost: readMaxCost(max_cost, 'max_cost'),
    // The message of a webhook carries it, perhaps for a day.
    metadata: readMetadata(metadata, text, webhook === undefined ? undefined : maxMetadataBytes),
    webhook: readWebhook(webhook, webhooks),
  };
}
