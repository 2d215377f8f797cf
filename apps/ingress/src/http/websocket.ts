import type { WebSocket } from '@fastify/websocket';
import {
  compareEntryIds,
  isTerminalLine,
  logStart,
  sameEntryId,
} from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText } from '@millrace/shared/domain/json-text';
import { endpoints } from '@millrace/shared/domain/request';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Described } from '@millrace/shared/log/port';
import type { FastifyInstance } from 'fastify';
import type { Principal } from '../admission/keys.ts';
import { socketEvent, toJobEvent } from '../relay/encode.ts';
import type { Reader } from '../relay/relay.ts';
import type { Visit } from '../relay/waiting-room.ts';
import { openSocketOutbox } from '../relay/socket-outbox.ts';
import type { Services } from '../services.ts';
import { readChatRequest, wrongType } from './body.ts';
import { invalidRequest, jobNotFound, shuttingDown, streamLost, toApiError } from './errors.ts';
import { socketPath } from './entrance.ts';
import type { Entrance } from './entrance.ts';
import { resetEvent } from './events.ts';
import { authenticated, awaitKey } from './socket-auth.ts';
import {
  errorFrame,
  holdBack,
  longestRef,
  parseFrame,
  readId,
  unknownType,
} from './socket-frames.ts';
import type { Frame } from './socket-frames.ts';
import { within } from '../within.ts';
import { findJob, parseCursor } from './jobs.ts';

/** Requests that one socket may have open: created or subscribed. */
const maxPerSocket = 1000;
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
          prove: (key) => entrance.prove(request, key),
          onTimeout: () => services.refused({ reason: 'no_key', address: request.ip }),
          onProven: serve,
        });
      }
    },
  });
}

/** A request on this socket. `owned`: created by it and not detached, so that it ends with it. */
type Open = { reader: Reader; owned: boolean; visit?: Visit };

function serveSocket(socket: WebSocket, principal: Principal, services: Services): void {
  const { submitter, relay, log, waitingRoom, connections, draining, metrics } = services;
  const { keyLimits, onError } = services;
  const open = new Map<string, Open>();
  const outbox = openSocketOutbox({
    socket,
    limits: services.config.limits,
    onDrain() {
      for (const { reader } of open.values()) reader.resume();
    },
  });
  const leave = () => outbox.close(serviceRestart, 'the server restarts, come back');
  const leaveIfIdle = () => {
    if (draining() && open.size === 0) leave();
  };
  const connection = connections.add(() => {
    endAll('the server shuts down');
    leave();
  }, leaveIfIdle);
  metrics.socketOpened();

  function endAll(reason: string): void {
    for (const [id, { reader, owned, visit }] of open) {
      reader.close();
      visit?.leave();
      if (owned) cancelOwn(id, reason);
    }
    open.clear();
  }

  function cancelOwn(id: string, reason: string): void {
    keyLimits.ended({ id, keyId: principal.keyId });
    submitter.cancel(id, reason).catch(onError);
  }

  function forget(id: string): void {
    open.get(id)?.visit?.leave();
    open.delete(id);
    leaveIfIdle();
  }

  function read(
    meta: RequestMeta,
    start: (sink: ReturnType<typeof createSink>) => Reader,
    owned: boolean,
    send = outbox.send,
  ) {
    open.set(meta.id, { reader: start(createSink(meta, send)), owned });
  }

  function createSink(meta: RequestMeta, send: (text: string) => boolean) {
    return {
      lines(batch: Parameters<Parameters<typeof relay.open>[2]['lines']>[0]) {
        open.get(meta.id)?.visit?.leave();
        let roomy = true;
        for (const line of batch) {
          const event = toJobEvent(line, meta.includeUsage);
          if (event) roomy = send(socketEvent(meta.id, event));
          if (!isTerminalLine(line.text)) continue;
          keyLimits.ended(meta);
          forget(meta.id);
        }
        return roomy;
      },
      reset(reason: string) {
        send(socketEvent(meta.id, resetEvent(reason)));
      },
      gone() {
        send(errorFrame({ id: meta.id }, streamLost));
        forget(meta.id);
      },
    };
  }

  function subscribeFrom({ meta, last, ended }: Described, after: EntryId): void {
    const isAhead = compareEntryIds(after, last) > 0;
    if (isAhead) outbox.send(socketEvent(meta.id, resetEvent('cursor_ahead')));
    // One who has read it all is told its end once more: a subscription always has one.
    const isRead = ended && sameEntryId(after, last);
    const cursor = isRead ? { run: last.run, seq: last.seq - 1 } : isAhead ? logStart : after;
    read(meta, (sink) => relay.open(meta.id, cursor, sink), false);
  }

  async function tellPosition(id: string): Promise<void> {
    const one = open.get(id);
    if (!one) return;
    one.visit = waitingRoom.enter(id, (event) => outbox.send(socketEvent(id, event)));
    await one.visit.told;
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
      const { ref, endpoint = endpoints[0], body, detached = false } = frame;
      if (draining()) throw shuttingDown();
      if (open.size >= maxPerSocket) throw tooMany();
      if (ref !== undefined && typeof ref !== 'string') throw wrongType('ref', 'a string', ref);
      if (ref !== undefined && ref.length > longestRef) {
        throw invalidRequest(`'ref' is longer than ${longestRef} characters.`, { param: 'ref' });
      }
      if (endpoint !== endpoints[0]) {
        throw invalidRequest(`Invalid 'endpoint': expected '${endpoints[0]}'.`, {
          param: 'endpoint',
        });
      }
      if (!isJsonObject(body)) throw wrongType('body', 'an object', body ?? null);
      if (typeof detached !== 'boolean') throw wrongType('detached', 'a boolean', detached);
      const prepared = submitter.prepare({
        principal,
        endpoint: endpoints[0],
        body: memberText(text, 'body') ?? '{}',
        ...readChatRequest(body),
        reader: 'native',
        attached: !detached,
        read: true,
      });
      const { meta } = prepared;
      await keyLimits.admit(prepared, !detached);
      // Nothing is awaited between these and the reader, as below.
      if (socket.readyState !== socket.OPEN || open.size >= maxPerSocket) {
        keyLimits.ended(meta);
        throw tooMany();
      }
      const held = holdBack(outbox.send);
      read(meta, (sink) => relay.openFresh(meta.id, sink), !detached, held.send);
      try {
        await submitter.send(prepared);
      } catch (error) {
        open.get(meta.id)?.reader.close();
        forget(meta.id);
        keyLimits.ended(meta);
        throw error;
      }
      // Confirmed once every ingress knows it, and before anything else is said of it.
      outbox.send(JSON.stringify({ type: 'created', id: meta.id, ref }));
      held.release();
      open.get(meta.id)?.reader.resume();
      await tellPosition(meta.id);
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
        // Nothing is awaited between these and the reader: two frames at once must not both pass.
        if (open.has(id))
          throw invalidRequest(`This socket reads '${id}' already.`, { param: 'id' });
        if (open.size >= maxPerSocket) throw tooMany();
        subscribeFrom(described, after);
        if (!described.ended) await tellPosition(id);
      } finally {
        hold.release();
      }
    },

    unsubscribe(frame) {
      const id = readId(frame);
      const one = open.get(id);
      if (!one) throw invalidRequest(`This socket does not read '${id}'.`, { param: 'id' });
      one.reader.close();
      forget(id);
      if (one.owned) cancelOwn(id, 'its reader left');
    },

    async cancel(frame) {
      const id = readId(frame);
      const { meta, ended } = await findJob(services, principal, id);
      if (!ended) await submitter.cancel(meta.id, 'cancelled on request');
      keyLimits.ended(meta);
    },
  };

  /** Frames about one request are served in their order, also when one of them waits for Redis. */
  const turns = new Map<unknown, Promise<void>>();

  function onText(text: string): void {
    let frame: Frame;
    try {
      frame = parseFrame(text);
    } catch (thrown) {
      refuse(undefined, thrown);
      return;
    }
    const { id } = frame;
    const turn = inTurn(turns.get(id), frame, text);
    if (id === undefined) return;
    turns.set(id, turn);
    void turn.finally(() => turns.get(id) === turn && turns.delete(id));
  }

  async function inTurn(before: Promise<void> | undefined, frame: Frame, text: string) {
    if (before) await before;
    await serve(frame, text);
  }

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
    if (isBinary) {
      const { error } = invalidRequest('Binary frames are not understood: send JSON as text.');
      outbox.send(errorFrame(undefined, error));
    } else onText(data.toString('utf8'));
  });

  socket.on('close', () => {
    connection.remove();
    metrics.socketClosed();
    endAll('the client went away');
  });
  // A frame over the limit, bad UTF-8: ws closes the socket itself, with the right code.
  socket.on('error', () => {});
}

const tooMany = () =>
  invalidRequest(`This socket has ${maxPerSocket} requests open, as many as it may.`, {
    status: 429,
    code: 'too_many_requests_on_socket',
  });
