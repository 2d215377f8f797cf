import type { WebSocket } from '@fastify/websocket';
import { logStart } from '@millrace/shared/domain/entry';
import { isLarge, nextTurn } from '@millrace/shared/runtime/large-text';
import type { Principal } from '../../auth/api-keys.ts';
import { handOver, soon } from '../../server/hand-over.ts';
import type { ReadingGate } from '../../delivery/backpressure.ts';
import { openSocketOutbox } from '../../delivery/socket-writer.ts';
import type { Services } from '../../services.ts';
import { within } from '../../exchange/timeout.ts';
import { checkShape, requestBounds } from '../chat-completions/body.ts';
import { clientLeft, sendCharged } from '../../exchange/charged.ts';
import { parseCursor } from '../jobs/cursor.ts';
import { invalidRequest, jobNotFound, shuttingDown, toApiError } from '../../errors.ts';
import { findJob } from '../jobs/routes.ts';
import { joinRequest } from '../../exchange/attach.ts';
import { noteRefusal } from '../../observe/refused.ts';
import { logSocketRequest } from '../../observe/request-log.ts';
import { authenticated } from './authentication.ts';
import type { SocketEnd } from './close-codes.ts';
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
import { createFrameTurns } from './message-queue.ts';
import type { Message } from './message-queue.ts';
import { createSocketRequests, noRoom } from './requests.ts';

/** Bytes up to which a frame is served when there is no room for bodies, unless it brings one. */
const smallFrame = 4096;

/** Frames that make something new here. */
const makers = new Set<unknown>(['create', 'subscribe']);

/** A socket with what all of its life needs. */
export type Line = { socket: WebSocket; end: SocketEnd; gate: ReadingGate };

/** Serves the frames of one whose key is known. */
export function serveSocket(
  { socket, end, gate }: Line,
  principal: Principal,
  services: Services,
): void {
  const { config, submitter, relay, log, connections, draining, metrics } = services;
  const { keyLimits, bodies, refused, logger, onError } = services;
  const bounds = requestBounds(config.limits);
  let isMoving = false;
  /** Ends a request whose client has not been told its id, by that id: the client is to make it elsewhere. */
  const takeBack = new Map<string, () => void>();
  /** No frame is being served any more. */
  let onServed = () => {};
  const outbox = openSocketOutbox({
    socket,
    gate,
    limits: config.limits,
    onDrain: () => requests.resumeAll(),
    onMoved: () => watched.moved(),
    onStalled: () => end.cut('stalled'),
  });
  const requests = createSocketRequests(services, outbox, leaveIfIdle);
  const turns = createFrameTurns({
    gate,
    limits: config.limits,
    bodies,
    read,
    serve,
    onIdle: leaveIfIdle,
  });
  const watched = services.socketWheel.watch(socket, {
    isDeaf: () => gate.isShut,
    requestsOpen: () => requests.size,
    framesServed: () => turns.served,
    end: (reason) => (reason === 'dead' ? end.cut(reason) : end.close(reason)),
  });
  // What it said meanwhile, pongs too, was not heard.
  gate.onOpen(watched.lives);
  const connection = connections.add(moveAway, leaveIfIdle, outbox.held);
  metrics.socketOpened();

  /** The last words of its last answer still go. */
  function leaveIfIdle(): void {
    if (turns.served === 0) onServed();
    if (draining() && requests.size + turns.served === 0) outbox.end(() => end.close('drained'));
  }

  /** What it has open runs on, and its client goes on reading elsewhere. */
  async function moveAway(): Promise<void> {
    isMoving = true;
    // What is being created is known by its id then.
    const served = new Promise<void>((resolve) => (onServed = resolve));
    if (turns.served > 0) await soon(served).catch(() => {});
    for (const end of takeBack.values()) end();
    await requests.handOverAll();
    outbox.end(() => end.close('drained'));
  }

  const handlers: Record<string, (frame: Frame, data: Buffer) => Promise<void> | void> = {
    ping() {
      outbox.send('{"type":"pong"}');
    },

    auth() {
      if (principal.keyId !== undefined || principal.admin) {
        throw invalidRequest('This socket has shown its key already.', { param: 'type' });
      }
      // Without keys any will do, so that a page need not know.
      outbox.send(authenticated);
    },

    async create(frame, data) {
      if (isLarge(data)) await nextTurn();
      if (draining()) throw shuttingDown();
      if (!requests.hasRoom) throw noRoom();
      const { ref, detached, submission } = readCreate(frame, data.toString('utf8'), Date.now());
      const prepared = submitter.prepare({ ...submission, principal });
      const { meta, once } = prepared;
      const charge = await keyLimits.admit(prepared, !detached);
      // Nothing is awaited between these and the reader: two frames at once must not both pass.
      if (socket.readyState !== socket.OPEN || !requests.hasRoom) {
        charge.refund();
        throw noRoom();
      }
      const tellCreated = (id: string) => outbox.send(JSON.stringify({ type: 'created', id, ref }));
      const held = holdBack(outbox.send);
      const owner = { owned: !detached, caller: once?.caller };
      requests.readFresh(meta, owner, held.send);
      const hasLeft = () => isMoving || (!detached && socket.readyState !== socket.OPEN);
      let isTakenBack = false;
      takeBack.set(meta.id, () => {
        isTakenBack = true;
        requests.drop(meta.id);
        clientLeft(services, meta, 'the server shuts down', once?.caller);
        refuse(frame, shuttingDown());
      });
      const sending = sendCharged(services, prepared, charge, { hasLeft });
      const sent = await sending
        .catch((error: unknown) => {
          // Its client has its answer.
          if (isTakenBack) return undefined;
          requests.drop(meta.id);
          throw error;
        })
        .finally(() => takeBack.delete(meta.id));
      if (!sent || isTakenBack) return;
      if (sent.kind === 'unsent') {
        requests.drop(meta.id);
        if (isMoving) throw shuttingDown();
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
        const joining = joinRequest(services, sent.id, (described) => {
          tellCreated(sent.id);
          if (socket.readyState !== socket.OPEN) depart('the client went away');
          else requests.join(described, once?.caller, !detached);
        });
        await joining.catch((error: unknown) => {
          depart('its answer cannot be read');
          throw error;
        });
        await requests.tellPlace(sent.id);
        return;
      }
      // Confirmed once every ingress knows it, and before anything else is said of it.
      tellCreated(meta.id);
      held.release();
      requests.resume(meta.id);
      await requests.tellPlace(meta.id);
    },

    async subscribe(frame) {
      const id = readId(frame);
      const after = frame['after'] === undefined ? logStart : parseCursor(frame['after'], 'after');
      await findJob(services, principal, id);
      const hold = relay.hold(id);
      try {
        const described = await within(log.subscribe(id, services.inbox));
        if (!described) throw jobNotFound(id);
        if (socket.readyState !== socket.OPEN) return;
        requests.subscribe(described, after);
        if (!described.ended) await requests.tellPlace(id);
      } finally {
        hold.release();
      }
    },

    unsubscribe(frame) {
      const id = readId(frame);
      if (requests.drop(id, 'its reader left')) return;
      throw invalidRequest(`This socket does not read '${id}'.`, { param: 'id' });
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
        throw invalidRequest('Binary frames are not understood: send JSON as text.');
      }
      checkShape(data, bounds);
      frame = parseFrame(data.toString('utf8'));
      // A ping only says that the client is there.
      if (frame['type'] !== 'ping') watched.used();
      const isNeeded = data.length <= smallFrame && !makers.has(frame['type']);
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
    noteRefusal(refused, answer, { keyId: principal.keyId });
    logSocketRequest(logger, {
      frame: typeof frame?.['type'] === 'string' ? frame['type'].slice(0, 20) : 'unreadable',
      key: principal.keyId,
      outcome: 'failed',
      code: error.code ?? `status_${status}`,
    });
    if (status >= 500 && status !== 503) onError(thrown);
    outbox.send(errorFrame(frame, error, headers));
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    watched.lives();
    if (socket.readyState === socket.OPEN) turns.take({ data, isBinary });
  });

  socket.on('close', () => {
    connection.remove();
    watched.stop();
    turns.stop();
    metrics.socketClosed();
    requests.endAll('the client went away');
  });
  leaveIfIdle();
}
