import { connect, constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { NotSent } from './connection.ts';
import type { CloseReason, Connection, ConnectionEvents } from './connection.ts';
import { onceEvent } from './socket-event.ts';
import type { Opened } from './open.ts';

/** The most streams on one connection, if the provider allows more or announces no limit. */
export const maxStreams = 100;
/** Flow control window of one stream, in bytes. */
const streamWindowBytes = 256 * 1024;
/** Window of the whole session in bytes: the sum of all streams', so that a paused one blocks no other. */
const sessionWindowBytes = maxStreams * streamWindowBytes;

/**
 * HTTP/2 on an open socket, by Node's own session: undici's Client does not expose how many streams the
 * provider allows, which the pool needs. Resolves when the provider has announced it.
 */
export async function createH2(
  { socket, address }: Opened,
  { origin, now, signal }: { origin: string; now: () => number; signal: AbortSignal },
  events: ConnectionEvents,
): Promise<Connection> {
  const session = connect(origin, {
    createConnection: () => socket,
    peerMaxConcurrentStreams: maxStreams,
    settings: { enablePush: false, initialWindowSize: streamWindowBytes },
  });
  session.on('error', () => {});
  await onceEvent(session, 'remoteSettings', signal);
  session.setLocalWindowSize(sessionWindowBytes);
  session.unref();

  let closing: CloseReason | undefined;
  let failed = false;
  /** Streams with a greater id were never processed. */
  let lastStream = Infinity;
  session.on('error', () => (failed = true));
  session.on('goaway', (_code, last) => {
    lastStream = last;
    // Node closes the session after its last stream, but then waits for the peer to close the socket.
    connection.retired ??= 'peer';
    events.onChange(connection);
  });
  session.on('remoteSettings', () => events.onChange(connection));
  socket.on('close', () => {
    session.destroy();
    events.onClose(connection, closing ?? (failed || socket.errored ? 'error' : 'peer'));
  });

  const { protocol, host } = new URL(origin);
  const target = { ':scheme': protocol.slice(0, -1), ':authority': host };
  let isLossTold = false;
  const news: SessionNews = {
    lastStream: () => lastStream,
    tellsLoss() {
      const isLost = session.destroyed || socket.destroyed;
      const isEcho = isLost && isLossTold;
      isLossTold ||= isLost;
      return !isEcho;
    },
  };
  const connection: Connection = {
    protocol: 'h2',
    address,
    openedAt: now(),
    get capacity() {
      return Math.min(maxStreams, session.remoteSettings.maxConcurrentStreams ?? maxStreams);
    },
    get isOpen() {
      return !session.closed && !session.destroyed && lastStream === Infinity;
    },
    bytesRead: 0,
    failure: undefined,
    active: 0,
    served: 0,
    idleSince: now(),
    retired: undefined,
    listed: false,
    send(options, handler) {
      const stream = openStream(session, target, options, handler);
      if (stream) exchange(stream, options, handler, news);
    },
    close(reason) {
      closing ??= reason;
      session.destroy();
      socket.destroy();
    },
  };
  return connection;
}

function openStream(
  session: ClientHttp2Session,
  target: OutgoingHttpHeaders,
  { path, method, headers, body }: Dispatcher.DispatchOptions,
  handler: Dispatcher.DispatchHandler,
): ClientHttp2Stream | undefined {
  try {
    return session.request(
      {
        ...(headers as OutgoingHttpHeaders),
        ':method': method,
        ':path': path,
        ...target,
      },
      { endStream: body == null },
    );
  } catch (error) {
    const gone = /^ERR_HTTP2_(GOAWAY|INVALID)_SESSION$/.test(
      String(Reflect.get(error as Error, 'code')),
    );
    handler.onResponseError?.(idle, gone ? new NotSent() : (error as Error));
    return undefined;
  }
}

const idle: Dispatcher.DispatchController = {
  aborted: true,
  paused: false,
  reason: null,
  abort() {},
  pause() {},
  resume() {},
};

/** What a stream needs to know about its session. */
type SessionNews = {
  /** Streams with a greater id were never processed. */
  lastStream(): number;
  /** False if the session was lost and another stream has reported that already. */
  tellsLoss(): boolean;
};

/** One request and its response, from the opened stream to exactly one end. */
function exchange(
  stream: ClientHttp2Stream,
  { body }: Dispatcher.DispatchOptions,
  handler: Dispatcher.DispatchHandler,
  session: SessionNews,
): void {
  let status = 0;
  let error: Error | undefined;
  let reason: Error | null = null;
  const controller: Dispatcher.DispatchController = {
    get aborted() {
      return reason !== null;
    },
    get paused() {
      return stream.isPaused();
    },
    get reason() {
      return reason;
    },
    abort(given) {
      reason ??= given;
      stream.close(constants.NGHTTP2_CANCEL);
    },
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
  };
  stream.on('response', (fields) => {
    status = Number(fields[':status']);
    handler.onResponseStart?.(controller, status, plainHeaders(fields));
  });
  stream.on('data', (bytes: Buffer) => {
    if (reason === null) handler.onResponseData?.(controller, bytes);
  });
  stream.on('error', (given) => (error = given));
  // Not at `end`, which is also emitted after the provider has reset the stream: half an answer would pass
  // for a complete one.
  stream.on('close', () => {
    const { rstCode, id = 0 } = stream;
    const unread =
      rstCode === constants.NGHTTP2_REFUSED_STREAM || id === 0 || id > session.lastStream();
    if (reason !== null) handler.onResponseError?.(controller, reason);
    else if (status !== 0 && rstCode === constants.NGHTTP2_NO_ERROR && !error) {
      handler.onResponseEnd?.(controller, {});
    } else if (unread && status === 0)
      handler.onResponseError?.(controller, new NotSent({ refused: true }));
    else handler.onResponseError?.(controller, resetError(rstCode, !session.tellsLoss()));
  });
  handler.onRequestStart?.(controller, {});
  if (body != null) stream.end(body as string | Buffer);
}

const resetError = (http2ErrorCode: number | undefined, isEcho: boolean) =>
  Object.assign(new Error('the stream was reset'), {
    code: `HTTP/2 ${codeNames.get(http2ErrorCode ?? 0) ?? http2ErrorCode}`,
    http2ErrorCode,
    isEcho,
  });

/** Names as in RFC 9113. */
const codeNames = new Map(
  Object.entries(constants)
    .filter(([name]) =>
      /^NGHTTP2_(NO_ERROR|[A-Z]+_ERROR|CANCEL|REFUSED_STREAM|STREAM_CLOSED|SETTINGS_TIMEOUT|ENHANCE_YOUR_CALM|INADEQUATE_SECURITY|HTTP_1_1_REQUIRED)$/.test(
        name,
      ),
    )
    .filter(([, code]) => Number(code) >= 0)
    .map(([name, code]) => [Number(code), name.replace('NGHTTP2_', '')]),
);

function plainHeaders(fields: Record<string, unknown>): IncomingHttpHeaders {
  const headers = { ...fields };
  delete headers[':status'];
  return headers as IncomingHttpHeaders;
}
