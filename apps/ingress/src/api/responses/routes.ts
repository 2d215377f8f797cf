import { responseId, responseOf } from '@millrace/formats/openai-responses/client/response';
import type { OpenAiError } from '@millrace/shared/domain/entry';
import { memberText } from '@millrace/shared/domain/json-text';
import type { Described } from '@millrace/shared/store/stream-log/port';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../../api-error.ts';
import { addressOf } from '../../auth/client-address.ts';
import { adoptId } from '../../server/request-id.ts';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';
import { factsOfAnswer } from '../answer-facts.ts';
import { recordAdminCancel } from '../jobs/admin-cancel.ts';
import { cancelOperation, deleteOperation, inputOperation, readOperation } from './description.ts';
import { inputPage } from './input-items.ts';
import type { ItemsQuery } from './input-items.ts';
import { findResponse, storedInput } from './stored-response.ts';
import { streamStored } from './stored-stream.ts';

type ResponseRoute = {
  Params: { id: string };
  Querystring: { stream?: string; starting_after?: string };
};

/** A response is kept, and can be read, as long as the log of its request. */
export function responseRoutes(app: FastifyInstance, services: Services): void {
  app.get<ResponseRoute>(
    '/v1/responses/:id',
    { config: { operation: readOperation } },
    async (request, reply) => {
      const { principal, query } = request;
      const described = await findResponse(services, principal, request.params.id);
      const { id, stream } = described.meta;
      adoptId(reply, id);
      if (query.stream !== 'true') return sendResponse(services, described, reply);
      if (!stream) {
        const message =
          "The response was not created with 'stream': true, so it cannot be streamed.";
        throw apiError('invalid_request', { message, param: 'stream' });
      }
      const after = readNumber(query.starting_after);
      const hold = services.relay.hold(id);
      try {
        // Described again, now with the inbox subscribed: lines appended from now on arrive live.
        const subscribed = await within(services.log.subscribe(id, services.inbox));
        if (!subscribed) throw apiError('job_not_found', { id: request.params.id });
        reply.hijack();
        // The client left during the wait for Redis; `close` will not be emitted again.
        if (reply.raw.destroyed) return undefined;
        streamStored({ described: subscribed, after, response: reply.raw, principal, services });
        return undefined;
      } finally {
        hold.release();
      }
    },
  );

  app.post<ResponseRoute>(
    '/v1/responses/:id/cancel',
    { config: { operation: cancelOperation } },
    async (request, reply) => {
      const { principal, params } = request;
      const { meta } = await cancelResponse(services, request);
      adoptId(reply, meta.id);
      return sendResponse(services, await findResponse(services, principal, params.id), reply);
    },
  );

  app.get<ResponseRoute & { Querystring: ItemsQuery }>(
    '/v1/responses/:id/input_items',
    { config: { operation: inputOperation } },
    async ({ principal, params, query }, reply) => {
      const described = await findResponse(services, principal, params.id);
      adoptId(reply, described.meta.id);
      const items = await storedInput(services, described);
      if (!items) throw apiError('job_not_found', { id: params.id });
      return inputPage(described.meta.id, items, query);
    },
  );

  app.delete<ResponseRoute>(
    '/v1/responses/:id',
    { config: { operation: deleteOperation } },
    async (request, reply) => {
      const { meta } = await cancelResponse(services, request, 'request.delete');
      adoptId(reply, meta.id);
      await within(services.log.remove(meta.id));
      return { id: responseId(meta.id), object: 'response', deleted: true };
    },
  );
}

/** Ends a response that is still running, for every reader. Throws a 404. */
async function cancelResponse(
  services: Services,
  request: FastifyRequest<ResponseRoute>,
  action: 'request.cancel' | 'request.delete' = 'request.cancel',
): Promise<Described> {
  const { principal, params } = request;
  const described = await findResponse(services, principal, params.id);
  const { meta, ended } = described;
  const outcome = ended ?? (await services.submitter.cancel(meta.id, 'cancelled on request'));
  services.keyLimits.ended(meta);
  // One that has ended can be deleted.
  const done = action === 'request.delete' && outcome !== 'unknown' ? 'cancelled' : outcome;
  await recordAdminCancel(services, principal, {
    address: addressOf(request),
    meta,
    outcome: done,
    action,
  });
  return described;
}

type View = { status: string; result?: unknown; error?: OpenAiError };

const statuses = { queued: 'queued', failed: 'failed', cancelled: 'cancelled' } as const;

async function sendResponse(
  services: Services,
  described: Described,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const view = await services.jobViews.view(described, reply.raw);
  const { status, result, error } = JSON.parse(view) as View;
  reply.type('application/json');
  // As text, because a provider's numbers can have more digits than JavaScript's.
  if (result) return reply.send(memberText(view, 'result'));
  const known = Object.hasOwn(statuses, status)
    ? statuses[status as keyof typeof statuses]
    : undefined;
  const state = { status: known ?? ('in_progress' as const), ...(error && { error }) };
  return reply.send(JSON.stringify(responseOf(factsOfAnswer(described.meta), state)));
}

/** The number behind which a reader continues; -1 if it has none. Throws a 400. */
function readNumber(text: string | undefined): number {
  if (text === undefined || text === '') return -1;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw apiError('invalid_cursor', { param: 'starting_after' });
}
