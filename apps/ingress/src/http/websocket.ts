import type { WebSocket } from '@fastify/websocket';
import { logStart } from '@millrace/shared/domain/entry';
import type { FastifyInstance } from 'fastify';
import type { Principal } from '../admission/keys.ts';
import { createReadingGate } from '../relay/reading-gate.ts';
import { openSocketOutbox } from '../relay/socket-outbox.ts';
import type { Services } from '../services.ts';
import { within } from '../within.ts';
import { checkKey } from './arrival.ts';
import { clientLeft, sendCharged } from './charged.ts';
import { socketPath } from './entrance.ts';
import type { Entrance } from './entrance.ts';
import { invalidRequest, jobNotFound, shuttingDown, toApiError } from './errors.ts';
import { findJob, parseCursor } from './jobs.ts';
import { joinRequest } from './join.ts';
import { authenticated, awaitKey } from './socket-auth.ts';
import {
  errorFrame,
  holdBack,
  parseFrame,
  readCreate,
  readId,
  unknownType,
} from './socket-frames.ts';
import type { Frame } from './socket-frames.ts';
import { createFrameTurns } from './socket-turns.ts';
import { createSocketRequests, noRoom } from './socket-requests.ts';

/** Close code "service restart". */
const serviceRestart = 1012;

export function socketRoutes(app: FastifyInstance, services: Services, entrance: Entrance): void {
  app.route({
    method: 'GET',
    url: socketPath,
    handler: () => {
      throw invalidRequest('This is a WebSocket: upgrade the connection.', {
        status: 426,
        code: 'upgrade_required',
        headers: { upgrade: 'websocket', connection: 'upgrade' },
      });
    },
    wsHandler(socket, request) {
      const serve = (principal: Principal) => serveSocket(socket, principal, services);
      if (request.principal as Principal | undefined) serve(request.principal);
      else {
        awaitKey({
          socket,
          patienceMs: services.config.limits.socketAuthMs,
          prove(key) {
            const principal = entrance.prove(request, key);
            checkKey(services.connectionCounts, request, principal.keyId);
            return principal;
          },
          onTimeout: () => services.refused({ reason: 'no_key', address: request.ip }),
          onProven: serve,
        });
      }
    },
  });
}

function serveSocket(socket: WebSocket, principal: Principal, services: Services): void {
  const { config, submitter, relay, log, connections, draining, metrics } = services;
  const { keyLimits, onError } = services;
  const gate = createReadingGate(socket);
  const outbox = openSocketOutbox({
    socket,
    gate,
    limits: config.limits,
    onDrain: () => requests.resumeAll(),
  });
  const requests = createSocketRequests(services, outbox.send, leaveIfIdle);
  const turns = createFrameTurns({ gate, limits: config.limits, serve });
  const watched = services.socketWheel.watch(socket, {
    isDeaf: () => gate.isShut,
    requestsOpen: () => requests.size,
    framesServed: () => turns.served,
  });
  const connection = connections.add(
    () => {
      requests.endAll('the server shuts down');
      leave();
    },
    leaveIfIdle,
    outbox.held,
  );
  metrics.socketOpened();

  function leave(): void {
    outbox.close(serviceRestart, 'the server restarts, come back');
  }

  function leaveIfIdle(): void {
    if (draining() && requests.size === 0) leave();
  }

  const handlers: Record<string, (frame: Frame, text: string) => Promise<void> | void> = {
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

    async create(frame, text) {
      if (draining()) throw shuttingDown();
      if (!requests.hasRoom) throw noRoom();
      const { ref, detached, submission } = readCreate(frame, text);
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
      requests.read(meta, (sink) => relay.openFresh(meta.id, sink), owner, held.send);
      const hasLeft = () => !detached && socket.readyState !== socket.OPEN;
      const sending = sendCharged(services, prepared, charge, { hasLeft });
      const sent = await sending.catch((error: unknown) => {
        requests.drop(meta.id);
        throw error;
      });
      if (sent.kind === 'unsent') return;
      if (sent.kind === 'joined') {
        requests.drop(meta.id);
        const depart = (reason: string) => {
          if (detached) return;
          clientLeft(services, { id: sent.id, keyId: meta.keyId }, reason, once?.caller);
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

  /** Never rejects. */
  async function serve(frame: Frame, text: string): Promise<void> {
    try {
      const { type } = frame;
      const handler =
        typeof type === 'string' && Object.hasOwn(handlers, type) ? handlers[type] : undefined;
      if (!handler) throw unknownType(type);
      await handler(frame, text);
    } catch (thrown) {
      refuse(frame, thrown);
    }
  }

  function refuse(frame: Frame | undefined, thrown: unknown): void {
    const { error, status } = toApiError(thrown);
    if (status >= 500) onError(thrown);
    outbox.send(errorFrame(frame, error));
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    watched.touch();
    turns.count();
    try {
      if (isBinary) {
        throw invalidRequest('Binary frames are not understood: send JSON as text.');
      }
      const text = data.toString('utf8');
      turns.take(parseFrame(text), text);
    } catch (thrown) {
      refuse(undefined, thrown);
    }
  });
  // Answered by ws itself.
  socket.on('ping', () => {
    watched.touch();
    turns.count();
  });

  socket.on('close', () => {
    connection.remove();
    watched.stop();
    turns.stop();
    metrics.socketClosed();
    requests.endAll('the client went away');
  });
  // A frame over the limit, bad UTF-8: ws closes the socket itself, with the right code.
  socket.on('error', () => {});
}
