import type { WebSocket } from '@fastify/websocket';
import { logStart } from '@millrace/shared/domain/entry';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { Principal } from '../../auth/api-keys.ts';
import { handOver, withinHandOver } from '../../server/hand-over.ts';
import type { Backpressure } from '../../delivery/backpressure.ts';
import { openSocketWriter } from '../../delivery/socket-writer.ts';
import type { Services } from '../../services.ts';
import { within } from '../../exchange/timeout.ts';
import { checkShape, requestBounds } from '../chat-completions/body.ts';
import { clientLeft, sendCharged } from '../../exchange/charged.ts';
import { parseCursor } from '../jobs/cursor.ts';
import { apiError, toApiError } from '../../errors.ts';
import { findJob } from '../jobs/routes.ts';
import { attachRequest } from '../../exchange/attach.ts';
import { recordRefusal } from '../../observe/refused.ts';
import { logSocketRequest } from '../../observe/request-log.ts';
import { authenticated } from './authentication.ts';
import type { SocketCloser } from './close-codes.ts';
import {
  errorFrame,
  holdBack,
  parseFrame,
  readCreate,
  readId,
  serverBusy,
  unknownType,
} from './frames.ts';
import type { Frame } from './frames.ts';
import { createMessageQueue } from './message-queue.ts';
import type { Message } from './message-queue.ts';
import { createSocketRequests, noRoom } from './requests.ts';

/** While the memory for bodies is used up, frames up to this many bytes are served if they bring no body. */
const smallFrame = 4096;

/** Frames that open a request on the socket. */
const openingTypes = new Set<unknown>(['create', 'subscribe']);

/** A socket, and what closes and pauses it. */
export type OpenSocket = { socket: WebSocket; closer: SocketCloser; backpressure: Backpressure };

/** Serves the frames of an authenticated client. */
export function serveSocket(
  { socket, closer, backpressure }: OpenSocket,
  principal: Principal,
  services: Services,
): void {
  const { config, submitter, relay, log, connections, draining, metrics } = services;
  const { keyLimits, bodies, refused, logger, onError } = services;
  const bounds = requestBounds(config.limits);
  let isMoving = false;
  /** By id: ends a request whose client does not know that id yet. The client is to make it elsewhere. */
  const withdrawals = new Map<string, () => void>();
  /** Resolves the wait of a drain for the frames that are being served. */
  let onServed = () => {};
  const writer = openSocketWriter({
    socket,
    backpressure,
    limits: config.limits,
    onDrain: () => requests.resumeAll(),
    onProgress: () => watched.markProgress(),
    onStalled: () => closer.terminate('stalled'),
  });
  const requests = createSocketRequests(services, writer, closeIfIdle);
  const messages = createMessageQueue({
    backpressure,
    limits: config.limits,
    bodies,
    read,
    serve,
    onIdle: closeIfIdle,
  });
  const watched = services.heartbeat.watch(socket, {
    isPaused: () => backpressure.isPaused,
    requestsOpen: () => requests.size,
    framesServed: () => messages.served,
    end: (reason) => (reason === 'dead' ? closer.terminate(reason) : closer.close(reason)),
  });
  // While it was paused, nothing was read from it, pongs included.
  backpressure.onResume(watched.markAlive);
  const connection = connections.add(handOverAll, closeIfIdle, writer.held);
  metrics.socketOpened();

  /** While draining: closes the socket after its last answer has been sent. */
  function closeIfIdle(): void {
    if (messages.served === 0) onServed();
    if (draining() && requests.size + messages.served === 0)
      writer.end(() => closer.close('drained'));
  }

  /** The open requests run on, and the client reads them elsewhere. */
  async function handOverAll(): Promise<void> {
    isMoving = true;
    // After that, the client knows the ids of the requests that it is creating.
    const served = new Promise<void>((resolve) => (onServed = resolve));
    if (messages.served > 0) await withinHandOver(served).catch(() => {});
    for (const withdraw of withdrawals.values()) withdraw();
    await requests.handOverAll();
    writer.end(() => closer.close('drained'));
  }

  const handlers: Record<string, (frame: Frame, data: Buffer) => Promise<void> | void> = {
    ping() {
      writer.send('{"type":"pong"}');
    },

    auth() {
      if (principal.keyId !== undefined || principal.admin) {
        throw apiError('invalid_request', {
          message: 'This socket has shown its key already.',
          param: 'type',
        });
      }
      // Without keys in the config any key is accepted, so that a page need not know.
      writer.send(authenticated);
    },

    async create(frame, data) {
      if (isLarge(data)) await nextTurn();
      if (draining()) throw apiError('server_shutting_down');
      if (!requests.hasRoom) throw noRoom();
      const { ref, detached, submission } = readCreate(frame, data.toString('utf8'), Date.now());
      const prepared = submitter.prepare({ ...submission, principal });
      const { meta, once } = prepared;
      const charge = await keyLimits.admit(prepared, !detached);
      // No await between this check and `readFresh`: two frames at once must not both pass it.
      if (socket.readyState !== socket.OPEN || !requests.hasRoom) {
        charge.refund();
        throw noRoom();
      }
      const tellCreated = (id: string) => writer.send(JSON.stringify({ type: 'created', id, ref }));
      const held = holdBack(writer.send);
      const owner = { owned: !detached, caller: once?.caller };
      requests.readFresh(meta, owner, held.send);
      const hasLeft = () => isMoving || (!detached && socket.readyState !== socket.OPEN);
      let isWithdrawn = false;
      withdrawals.set(meta.id, () => {
        isWithdrawn = true;
        requests.drop(meta.id);
        clientLeft(services, meta, 'the server shuts down', once?.caller);
        refuse(frame, apiError('server_shutting_down'));
      });
      const sending = sendCharged(services, prepared, charge, { hasLeft });
      const sent = await sending
        .catch((error: unknown) => {
          // The client has its answer.
          if (isWithdrawn) return undefined;
          requests.drop(meta.id);
          throw error;
        })
        .finally(() => withdrawals.delete(meta.id));
      if (!sent || isWithdrawn) return;
      if (sent.kind === 'unsent') {
        requests.drop(meta.id);
        if (isMoving) throw apiError('server_shutting_down');
        return;
      }
      if (sent.kind === 'joined') {
        requests.drop(meta.id);
        const depart = (reason: string) => {
          if (detached) return;
          const request = { id: sent.id, keyId: meta.keyId, attached: true };
          if (isMoving) void handOver(services, request, once?.caller);
          else clientLeft(services, request, reason, once?.caller);
        };
        const joining = attachRequest(services, sent.id, (described) => {
          tellCreated(sent.id);
          if (socket.readyState !== socket.OPEN) depart('the client went away');
          else requests.attach(described, once?.caller, !detached);
        });
        await joining.catch((error: unknown) => {
          depart('its answer cannot be read');
          throw error;
        });
        await requests.reportPosition(sent.id);
        return;
      }
      // Confirmed once Redis has it, and before any other event of it.
      tellCreated(meta.id);
      held.release();
      requests.resume(meta.id);
      await requests.reportPosition(meta.id);
    },

    async subscribe(frame) {
      const id = readId(frame);
      const after = frame['after'] === undefined ? logStart : parseCursor(frame['after'], 'after');
      await findJob(services, principal, id);
      const hold = relay.hold(id);
      try {
        const described = await within(log.subscribe(id, services.inbox));
        if (!described) throw apiError('job_not_found', { id });
        if (socket.readyState !== socket.OPEN) return;
        requests.subscribe(described, after);
        if (!described.ended) await requests.reportPosition(id);
      } finally {
        hold.release();
      }
    },

    unsubscribe(frame) {
      const id = readId(frame);
      if (requests.drop(id, 'its reader left')) return;
      throw apiError('invalid_request', {
        message: `This socket does not read '${id}'.`,
        param: 'id',
      });
    },

    async cancel(frame) {
      const id = readId(frame);
      const { meta, ended } = await findJob(services, principal, id);
      if (!ended) await submitter.cancel(meta.id, 'cancelled on request');
      keyLimits.ended(meta);
    },
  };

  function read({ data, isBinary }: Message): Frame | undefined {
    let frame: Frame | undefined;
    try {
      if (isBinary) {
        throw apiError('invalid_request', {
          message: 'Binary frames are not understood: send JSON as text.',
        });
      }
      checkShape(data, bounds);
      frame = parseFrame(data.toString('utf8'));
      // A ping is not a use.
      if (frame['type'] !== 'ping') watched.markUsed();
      const isNeeded = data.length <= smallFrame && !openingTypes.has(frame['type']);
      if (bodies.held <= config.limits.requestBodiesBytes || isNeeded) return frame;
      throw serverBusy();
    } catch (thrown) {
      refuse(frame, thrown);
      return undefined;
    }
  }

  /** Never rejects. */
  async function serve(frame: Frame, data: Buffer): Promise<void> {
    try {
      const { type } = frame;
      const handler =
        typeof type === 'string' && Object.hasOwn(handlers, type) ? handlers[type] : undefined;
      if (!handler) throw unknownType(type);
      await handler(frame, data);
    } catch (thrown) {
      refuse(frame, thrown);
    }
  }

  function refuse(frame: Frame | undefined, thrown: unknown): void {
    const answer = toApiError(thrown);
    const { error, status, headers } = answer;
    recordRefusal(refused, answer, { keyId: principal.keyId });
    logSocketRequest(logger, {
      frame: typeof frame?.['type'] === 'string' ? frame['type'].slice(0, 20) : 'unreadable',
      key: principal.keyId,
      outcome: 'failed',
      code: error.code ?? `status_${status}`,
    });
    if (status >= 500 && status !== 503) onError(thrown);
    writer.send(errorFrame(frame, error, headers));
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    watched.markAlive();
    if (socket.readyState === socket.OPEN) messages.take({ data, isBinary });
  });

  socket.on('close', () => {
    connection.remove();
    watched.stop();
    messages.stop();
    metrics.socketClosed();
    requests.endAll('the client went away');
  });
  closeIfIdle();
}
