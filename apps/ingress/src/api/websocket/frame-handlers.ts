import { logStart } from '@millrace/shared/domain/entry';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import { aboutRequest, apiError, errorOf } from '../../api-error.ts';
import { socketPath } from '../../auth/authenticate.ts';
import { within } from '../../store-timeout.ts';
import { parseCursor } from '../cursor.ts';
import type { Resolved } from '../port.ts';
import { resolveInner } from '../resolve-inner.ts';
import { recordAdminCancel } from '../jobs/admin-cancel.ts';
import { notedModel } from '../../observe/request-log.ts';
import { cancelledEvent, socketEvent } from '../jobs/job-event.ts';
import { findJob } from '../jobs/find-job.ts';
import { statusOf } from '../jobs/view.ts';
import { authenticated } from './authentication.ts';
import { errorFrame, readCreate, readId, unknownType } from './frames.ts';
import type { Frame } from './frames.ts';
import type { SocketContext, SocketProtocol } from './protocol.ts';
import { SocketRequests } from './requests.ts';
import { createSocketClient } from './socket-client.ts';
import type { SocketClient } from './socket-client.ts';
import type { Asked } from './requests.ts';

/* The handlers of the frame types. A handler throws an ApiError, which is sent as the answer to the frame. */

type FrameContext = SocketContext & { requests: SocketRequests; client: SocketClient };

type Handler = (context: FrameContext, frame: Frame, data: Buffer) => Promise<void> | void;

const handlers: Record<string, Handler> = { ping, auth, create, subscribe, unsubscribe, cancel };

/** Frames that open a request on the socket. */
const openingTypes = new Set<unknown>(['create', 'subscribe']);

/** Millrace's own protocol: the requests of all client APIs, as jobs. */
export const jobFrames: SocketProtocol = {
  path: socketPath,
  opens: ({ type }) => openingTypes.has(type),
  errorFrame: (frame, { error, headers }, id) => errorFrame(frame, error, id, headers),
  begin(socket) {
    const { services, writer, onUnused } = socket;
    const requests = new SocketRequests({ services, writer, onUnused });
    const client = createSocketClient();
    const context = { ...socket, requests, client };
    return {
      get size() {
        return requests.size;
      },
      serve: (frame, data) => handleFrame(context, frame, data),
      resume: () => requests.resumeAll(),
      leave(reason) {
        client.leave();
        requests.leaveAll(reason);
      },
      expel: (refused) => requests.expelAll(refused),
      drain: () => requests.drainAll(),
    };
  },
};

async function handleFrame(context: FrameContext, frame: Frame, data: Buffer): Promise<void> {
  const { type } = frame;
  const handler =
    typeof type === 'string' && Object.hasOwn(handlers, type) ? handlers[type] : undefined;
  if (!handler) throw unknownType(type);
  await handler(context, frame, data);
}

function ping({ writer }: FrameContext): void {
  writer.send('{"type":"pong"}');
}

function auth({ principal, services, writer }: FrameContext): void {
  if (principal.keyId !== undefined || principal.admin) {
    throw apiError('invalid_request', {
      message: 'This socket has shown its key already.',
      param: 'type',
    });
  }
  // Since the socket opened, a first key may have been created.
  const renewed = services.keyRing.renew(principal);
  if (renewed.kind === 'refused') throw errorOf(renewed);
  // In a fleet without keys any key is accepted, so that a page need not know whether there are any.
  writer.send(authenticated);
}

async function create(context: FrameContext, frame: Frame, data: Buffer): Promise<void> {
  const { services, principal, requests, socket, client } = context;
  if (isLarge(data)) await nextTurn();
  if (socket.readyState !== socket.OPEN) return;
  if (services.draining()) throw apiError('server_shutting_down');
  requests.checkRoom();
  const text = data.toString('utf8');
  const resolved = await resolveInner(frame, text, { principal, client, services });
  try {
    await createResolved(context, frame, text, resolved);
  } finally {
    resolved?.release();
  }
}

async function createResolved(
  context: FrameContext,
  frame: Frame,
  text: string,
  resolved: Resolved | undefined,
): Promise<void> {
  const { services, principal, requests, socket } = context;
  const { ref, submission } = readCreate(frame, text, Date.now(), resolved);
  await services.loadPrices(submission);
  if (socket.readyState !== socket.OPEN) return;
  if (services.draining()) throw apiError('server_shutting_down');
  requests.checkRoom();
  const span = services.tracing?.beginFrame(socketPath);
  const prepared = services.exchanges.prepare({ ...submission, principal, trace: span?.trace });
  if (prepared.kind === 'refused') {
    const error = errorOf(prepared);
    const { status, error: body } = error;
    const about = { key: principal.keyId, model: notedModel(submission.model) };
    span?.end({ outcome: 'failed', status, code: body.code, ...about });
    throw error;
  }
  // Not the whole frame, because it contains the body, and a request may be open for long.
  const head: Frame = { type: frame['type'], ref: frame['ref'], id: frame['id'] };
  const refuse: Asked['refuse'] = (error, id) => context.refuse(head, error, id);
  await requests.create(prepared, { ref, refuse, span });
}

async function subscribe(context: FrameContext, frame: Frame): Promise<void> {
  const { services, principal, requests, socket } = context;
  const { relay, log, inbox } = services;
  if (services.draining()) throw apiError('server_shutting_down');
  const id = readId(frame);
  const after = frame['after'] === undefined ? logStart : parseCursor(frame['after'], 'after');
  await findJob(services, principal, id);
  const hold = relay.hold(id);
  try {
    const described = await within(log.subscribe(id, inbox));
    if (!described) throw apiError('job_not_found', { id });
    // Its key may have ended during the wait.
    const renewed = services.keyRing.renew(principal);
    if (renewed.kind === 'refused') throw errorOf(renewed);
    if (socket.readyState === socket.OPEN) await requests.subscribe(described, after);
  } catch (thrown) {
    throw aboutRequest(thrown, id);
  } finally {
    hold.release();
  }
}

function unsubscribe({ requests }: FrameContext, frame: Frame): void {
  const id = readId(frame);
  if (requests.drop(id, 'its reader left')) return;
  throw apiError('invalid_request', {
    message: `This socket does not read '${id}'.`,
    param: 'id',
  });
}

/** A socket that reads the request gets its terminal event; any other one gets an answer of its own. */
async function cancel(context: FrameContext, frame: Frame): Promise<void> {
  const { services, principal, requests, address, writer } = context;
  const { submitter, keyLimits } = services;
  const { meta, ended } = await findJob(services, principal, readId(frame));
  const { id } = meta;
  const isRead = requests.isReading(id);
  const outcome = ended ?? (await submitter.cancel(id, 'cancelled on request'));
  keyLimits.ended(meta);
  await recordAdminCancel(services, principal, { address, meta, outcome });
  if (outcome === 'unknown') throw apiError('job_not_found', { id });
  if (isRead) return;
  if (outcome !== 'cancelled') {
    throw aboutRequest(apiError('request_ended', { id, endedAs: statusOf(outcome) }), id);
  }
  writer.send(socketEvent(id, cancelledEvent));
}
