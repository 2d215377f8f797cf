import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { logStart } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText } from '@millrace/shared/domain/json-text';
import { endpoints, parseRequestId } from '@millrace/shared/domain/request';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Described } from '@millrace/shared/store/stream-log/port';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { maySee } from '../../auth/api-keys.ts';
import type { Principal } from '../../auth/api-keys.ts';
import { withinHandOver } from '../../server/hand-over.ts';
import { statusOf } from './view.ts';
import type { Charge } from '../../admission/quota.ts';
import type { Services } from '../../services.ts';
import type { Prepared } from '../../exchange/prepare.ts';
import type { Sent } from '../../exchange/submit.ts';
import { parseObject, readChatRequest, readMetadata, wrongType } from '../chat-completions/body.ts';
import { sseHeaders } from '../../delivery/sse-writer.ts';
import { clientLeft, sendCharged } from '../../exchange/charged.ts';
import { parseCursor, readLastEventId, startOf } from './cursor.ts';
import { eventsPath } from '../../auth/authenticate.ts';
import { apiError } from '../../errors.ts';
import { within } from '../../exchange/timeout.ts';
import { streamEvents } from './events.ts';
import { adoptId } from '../request-id.ts';
import { noteModel } from '../../observe/request-log.ts';
import { readContinuation, readDeadline, readIdempotencyKey, readPriority } from '../headers.ts';

type JobRoute = { Params: { id: string }; Querystring: { after?: string } };

export function jobRoutes(app: FastifyInstance, services: Services): void {
  app.post('/v1/jobs', async (request, reply) => {
    const text = String(request.body);
    const job = readJob(parseObject(request.body), text);
    if (isLarge(text)) await nextTurn();
    const { traceparent, 'x-millrace-deadline': deadline } = request.headers;
    const priority = readPriority(request.headers['x-millrace-priority']);
    noteModel(reply.raw, job.model);
    const prepared = services.submitter.prepare({
      ...job,
      principal: request.principal,
      deadlineAt: job.deadlineAt ?? readDeadline(deadline, Date.now()),
      priority: job.priority ?? priority,
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
      continuation: readContinuation(request.headers),
      idempotency: readIdempotencyKey(request.raw, { route: '/v1/jobs', text }),
    });
    const charge = await services.keyLimits.admit(prepared, false);
    // Told meanwhile to make it elsewhere.
    if (reply.sent) {
      charge.refund();
      return reply;
    }
    const sent = await sendJob(services, prepared, charge, reply.raw);
    if (sent.kind === 'unsent') return reply;
    if (sent.kind === 'joined') reply.header('idempotent-replayed', 'true');
    const { id, status, created_at } =
      sent.kind === 'joined'
        ? await viewJoined(services, request.principal, sent.id)
        : queued(prepared.meta);
    adoptId(reply, id);
    return reply
      .code(202)
      .headers(charge.headers)
      .header('location', `/v1/jobs/${id}`)
      .send({ id, status, created_at, events_url: `/v1/jobs/${id}/events` });
  });

  app.get<JobRoute>('/v1/jobs/:id', async (request, reply) => {
    const described = await findJob(services, request.principal, request.params.id);
    adoptId(reply, described.meta.id);
    const view = await services.jobViews.view(described, reply.raw);
    return reply.type('application/json').send(view);
  });

  app.delete<JobRoute>('/v1/jobs/:id', async (request, reply) => {
    const { meta, ended } = await findJob(services, request.principal, request.params.id);
    const by = ended ?? (await services.submitter.cancel(meta.id, 'cancelled on request'));
    services.keyLimits.ended(meta);
    if (by === 'unknown') throw apiError('job_not_found', { id: meta.id });
    adoptId(reply, meta.id);
    return { id: meta.id, status: by === 'done' ? 'completed' : by };
  });

  app.get<JobRoute>(eventsPath, async (request, reply) => {
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
      // Again, now with the inbox: what is appended from here on comes live.
      const described = await within(services.log.subscribe(id, services.inbox));
      if (!described) throw apiError('job_not_found', { id });
      // All was read: an EventSource that comes back after the end is told to stay away.
      const start = startOf(described, after);
      if (start.kind === 'finished') {
        return await reply.code(204).send();
      }
      reply.hijack();
      // Gone while we asked: there is nobody to write to, and `close` will not come again.
      if (reply.raw.destroyed) return undefined;
      streamEvents({ described, start, response: reply.raw, services });
      return undefined;
    } finally {
      hold.release();
    }
  });
}

/**
 * As `sendCharged`. If this ingress stops before it could answer the client, it takes the job back, and
 * its answer asks the client to make the job again elsewhere.
 */
async function sendJob(
  services: Services,
  prepared: Prepared,
  charge: Charge,
  response: ServerResponse,
): Promise<Sent> {
  let isWithdrawn = false;
  const sending = services.connections.add(async () => {
    const isAnswered = withinHandOver(once(response, 'close')).then(
      () => true,
      () => false,
    );
    if (await isAnswered) return;
    isWithdrawn = true;
    clientLeft(services, prepared.meta, 'the server shuts down', prepared.once?.caller);
  });
  try {
    const sent = await sendCharged(services, prepared, charge, { hasLeft: () => isWithdrawn });
    // It came through behind that: its cancellation is behind it on the same connection.
    if (isWithdrawn && sent.kind === 'queued') throw apiError('server_shutting_down');
    return sent;
  } finally {
    sending.remove();
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

/** Good to know, and no reason to fail. */
async function findPosition({ queue, onError }: Services, id: string): Promise<number | undefined> {
  try {
    return await within(queue.position(id));
  } catch (error) {
    onError(error);
    return undefined;
  }
}

/** Throws a 404 for what is not there and for what is not theirs, alike; a 410 for what is over. */
export async function findJob(
  services: Services,
  principal: Principal,
  id: string,
): Promise<Described> {
  const parsed = parseRequestId(id);
  if (!parsed) throw apiError('job_not_found', { id });
  const described = await within(services.reconciler.describe(id));
  if (described && maySee(principal, described.meta)) return described;
  if (!described && Date.now() - parsed.createdAt > services.config.retentionMs) {
    throw apiError('job_expired', { id });
  }
  throw apiError('job_not_found', { id });
}

/** `Last-Event-ID` beats `?after=`: an EventSource that comes back repeats its URL, with the newer place in the header. Throws a 400. */
function readCursor(request: FastifyRequest<JobRoute>): EntryId {
  const { after } = request.query;
  const newest = readLastEventId(request.headers);
  return newest ?? (after === undefined ? logStart : parseCursor(after, 'after'));
}

const jobFields = new Set(['endpoint', 'body', 'priority', 'deadline', 'metadata']);

/** Throws an ApiError that names the field. The inner body goes upstream byte for byte. */
function readJob(job: Record<string, unknown>, text: string) {
  for (const field of Object.keys(job)) {
    if (!jobFields.has(field)) {
      throw apiError('unknown_parameter', { param: field });
    }
  }
  const { endpoint = endpoints[0], body, priority, deadline, metadata } = job;
  if (endpoint !== endpoints[0]) {
    throw apiError('invalid_value', { param: 'endpoint', expected: `'${endpoints[0]}'` });
  }
  if (!isJsonObject(body)) throw wrongType('body', 'an object', body);
  return {
    ...readChatRequest(body),
    endpoint: endpoints[0],
    body: memberText(text, 'body') ?? '{}',
    reader: 'native' as const,
    attached: false,
    read: false,
    deadlineAt: readDeadline(deadline, Date.now(), 'deadline'),
    priority: readPriority(priority, 'priority'),
    metadata: readMetadata(metadata, text),
  };
}
