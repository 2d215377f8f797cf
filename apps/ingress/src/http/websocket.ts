import type { WebSocket } from '@fastify/websocket';
import { compareEntryIds, isTerminalLine, logStart } from '@millrace/shared/domain/entry';
import type { EntryId, OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText } from '@millrace/shared/domain/json-text';
import { endpoints } from '@millrace/shared/domain/request';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { FastifyInstance } from 'fastify';
import type { Principal } from '../admission/keys.ts';
import { socketEvent, toJobEvent } from '../relay/encode.ts';
import type { Reader } from '../relay/relay.ts';
import { openSocketOutbox } from '../relay/socket-outbox.ts';
import type { Services } from '../services.ts';
import { readChatRequest, wrongType } from './body.ts';
import { invalidRequest, jobNotFound, shuttingDown, toApiError } from './errors.ts';
import { resetEvent } from './events.ts';
import { findJob, parseCursor } from './jobs.ts';

/** Requests that one socket may have open: created or subscribed. */
const maxPerSocket = 1000;
/** Close code "service restart". */
const serviceRestart = 1012;

export function socketRoutes(app: FastifyInstance, services: Services): void {
  app.route({
    method: 'GET',
    url: '/v1/ws',
    handler: () => {
      throw invalidRequest('This is a WebSocket: upgrade the connection.', {
        status: 426,
        code: 'upgrade_required',
        headers: { upgrade: 'websocket', connection: 'upgrade' },
      });
    },
    wsHandler: (socket, request) => serveSocket(socket, request.principal, services),
  });
}

type Frame = Record<string, unknown>;

/** A request on this socket. `owned`: created by it and not detached, so that it ends with it. */
type Open = { reader: Reader; owned: boolean };

function serveSocket(socket: WebSocket, principal: Principal, services: Services): void {
  const { submitter, relay, log, queue, connections, draining, metrics, onError } = services;
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
    for (const [id, { reader, owned }] of open) {
      reader.close();
      if (owned) submitter.cancel(id, reason).catch(onError);
    }
    open.clear();
  }

  function forget(id: string): void {
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
        let roomy = true;
        for (const line of batch) {
          const event = toJobEvent(line, meta.includeUsage);
          if (event) roomy = send(socketEvent(meta.id, event));
          if (isTerminalLine(line.text)) forget(meta.id);
        }
        return roomy;
      },
      reset(reason: string) {
        send(socketEvent(meta.id, resetEvent(reason)));
      },
    };
  }

  async function tellPosition(id: string): Promise<void> {
    const position = await queue.position(id);
    if (position === undefined || !open.has(id)) return;
    outbox.send(socketEvent(id, { event: 'queued', data: JSON.stringify({ position }) }));
  }

  const handlers: Record<string, (frame: Frame, text: string) => Promise<void> | void> = {
    ping() {
      outbox.send('{"type":"pong"}');
    },

    async create(frame, text) {
      const { ref, endpoint = endpoints[0], body, detached = false } = frame;
      if (draining()) throw shuttingDown();
      if (open.size >= maxPerSocket) throw tooMany();
      if (ref !== undefined && typeof ref !== 'string') throw wrongType('ref', 'a string', ref);
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
      const held = holdBack(outbox.send);
      read(meta, (sink) => relay.openFresh(meta.id, sink), !detached, held.send);
      try {
        await submitter.send(prepared);
      } catch (error) {
        open.get(meta.id)?.reader.close();
        forget(meta.id);
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
      const described = await log.subscribe(id, services.inbox);
      if (!described) throw jobNotFound(id);
      if (socket.readyState !== socket.OPEN) return;
      // Nothing is awaited between these and the reader: two frames at once must not both pass.
      if (open.has(id)) throw invalidRequest(`This socket reads '${id}' already.`, { param: 'id' });
      if (open.size >= maxPerSocket) throw tooMany();
      const isAhead = compareEntryIds(after, described.last) > 0;
      const cursor: EntryId = isAhead ? logStart : after;
      if (isAhead) outbox.send(socketEvent(id, resetEvent('cursor_ahead')));
      read(described.meta, (sink) => relay.open(id, cursor, sink), false);
      if (!described.ended) await tellPosition(id);
    },

    unsubscribe(frame) {
      const id = readId(frame);
      const one = open.get(id);
      if (!one) throw invalidRequest(`This socket does not read '${id}'.`, { param: 'id' });
      one.reader.close();
      forget(id);
      if (one.owned) submitter.cancel(id, 'its reader left').catch(onError);
    },

    async cancel(frame) {
      const id = readId(frame);
      const { meta, ended } = await findJob(services, principal, id);
      if (!ended) await submitter.cancel(meta.id, 'cancelled on request');
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

/** Keeps frames until they are let go: then, and from then on, they are sent. */
function holdBack(send: (text: string) => boolean) {
  let held: string[] | undefined = [];
  return {
    send(text: string): boolean {
      if (!held) return send(text);
      held.push(text);
      // No more for now: the rest comes from the log once the reader is resumed.
      return false;
    },
    release(): void {
      const texts = held ?? [];
      held = undefined;
      for (const text of texts) send(text);
    },
  };
}

function parseFrame(text: string): Frame {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    throw invalidRequest('The frame is not valid JSON.', { code: 'invalid_json' });
  }
  if (!isJsonObject(frame)) throw invalidRequest('A frame must be a JSON object.');
  return frame;
}

function readId(frame: Frame): string {
  const { id } = frame;
  if (typeof id !== 'string' || id === '') throw wrongType('id', 'the id of a request', id ?? null);
  return id;
}

const unknownType = (type: unknown) =>
  invalidRequest(
    `Unknown frame type ${JSON.stringify(type ?? null).slice(0, 100)}: expected create, subscribe, unsubscribe, cancel or ping.`,
    { param: 'type', code: 'unknown_frame_type' },
  );

const tooMany = () =>
  invalidRequest(`This socket has ${maxPerSocket} requests open, as many as it may.`, {
    status: 429,
    code: 'too_many_requests_on_socket',
  });

/** Says which frame it answers, as far as that could be read. */
function errorFrame(frame: Frame | undefined, error: OpenAiError): string {
  const { ref, id } = frame ?? {};
  return JSON.stringify({
    type: 'error',
    ref: typeof ref === 'string' ? ref : undefined,
    id: typeof id === 'string' ? id : undefined,
    error,
  });
}
