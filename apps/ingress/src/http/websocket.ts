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
import { invalidRequest, toApiError } from './errors.ts';
import { resetEvent } from './events.ts';
import { findJob, parseCursor } from './jobs.ts';

/** Requests that one socket may have open: created or subscribed. */
const maxPerSocket = 1000;

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
  const { submitter, relay, log, queue, connections, metrics, onError } = services;
  const open = new Map<string, Open>();
  const outbox = openSocketOutbox({
    socket,
    limits: services.config.limits,
    onDrain() {
      for (const { reader } of open.values()) reader.resume();
    },
  });
  const connection = connections.add(() => outbox.close(1012, 'the server restarts, come back'));
  metrics.socketOpened();

  function read(
    meta: RequestMeta,
    start: (sink: ReturnType<typeof createSink>) => Reader,
    owned: boolean,
  ) {
    open.set(meta.id, { reader: start(createSink(meta)), owned });
  }

  function createSink(meta: RequestMeta) {
    return {
      lines(batch: Parameters<Parameters<typeof relay.open>[2]['lines']>[0]) {
        let roomy = true;
        for (const line of batch) {
          const event = toJobEvent(line, meta.includeUsage);
          if (event) roomy = outbox.send(socketEvent(meta.id, event));
          if (isTerminalLine(line.text)) open.delete(meta.id);
        }
        return roomy;
      },
      reset(reason: string) {
        outbox.send(socketEvent(meta.id, resetEvent(reason)));
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
      outbox.send(JSON.stringify({ type: 'created', id: meta.id, ref }));
      read(meta, (sink) => relay.openFresh(meta.id, sink), !detached);
      try {
        await submitter.send(prepared);
      } catch (error) {
        open.get(meta.id)?.reader.close();
        open.delete(meta.id);
        throw error;
      }
      await tellPosition(meta.id);
    },

    async subscribe(frame) {
      const id = readId(frame);
      const after = frame['after'] === undefined ? logStart : parseCursor(frame['after'], 'after');
      await findJob(services, principal, id);
      if (open.has(id)) throw invalidRequest(`This socket reads '${id}' already.`, { param: 'id' });
      if (open.size >= maxPerSocket) throw tooMany();
      const described = await log.subscribe(id, services.inbox);
      if (!described || socket.readyState !== socket.OPEN) return;
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
      open.delete(id);
      if (one.owned) submitter.cancel(id, 'its reader left').catch(onError);
    },

    async cancel(frame) {
      const id = readId(frame);
      const { meta, ended } = await findJob(services, principal, id);
      if (!ended) await submitter.cancel(meta.id, 'cancelled on request');
    },
  };

  async function onText(text: string): Promise<void> {
    let frame: Frame | undefined;
    try {
      frame = parseFrame(text);
      const handler = handlers[String(frame['type'])];
      if (!Object.hasOwn(handlers, String(frame['type'])) || !handler)
        throw unknownType(frame['type']);
      await handler(frame, text);
    } catch (thrown) {
      const { error, status } = toApiError(thrown);
      if (status >= 500) onError(thrown);
      outbox.send(errorFrame(frame, error));
    }
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) {
      const { error } = invalidRequest('Binary frames are not understood: send JSON as text.');
      outbox.send(errorFrame(undefined, error));
    } else void onText(data.toString('utf8'));
  });

  socket.on('close', () => {
    connection.remove();
    metrics.socketClosed();
    for (const [id, { reader, owned }] of open) {
      reader.close();
      if (owned) submitter.cancel(id, 'the client went away').catch(onError);
    }
    open.clear();
  });
  // A frame over the limit, bad UTF-8: ws closes the socket itself, with the right code.
  socket.on('error', () => {});
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
