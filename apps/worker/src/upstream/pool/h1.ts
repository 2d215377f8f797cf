import type { Socket } from 'node:net';
import { Client } from 'undici';
import { NotSent } from './connection.ts';
import type { Gathering } from '../../coalescing/gathering.ts';
import type { CloseReason, Connection, ConnectionEvents } from './connection.ts';
import type { Opened } from './open.ts';
import { createUnaskedContinue } from './unasked-continue.ts';

/**
 * Milliseconds by which a connection is closed before the end that its provider announced (`Keep-Alive:
 * timeout=…`).
 */
const announcedMarginMs = 1000;

export type H1Options = {
  origin: string;
  longestIdleMs: number;
  gathering?: Gathering | undefined;
  now: () => number;
};

/**
 * HTTP/1.1 on an open socket, by undici's Client, which does not connect itself. The first request creates
 * the Client; until then the idle socket is only watched for its end.
 */
export function createH1(
  { socket, address }: Opened,
  { origin, longestIdleMs, gathering, now }: H1Options,
  events: ConnectionEvents,
): Connection {
  let client: Client | undefined;
  let closing: CloseReason | undefined;
  let failure: Error | undefined;
  let gathers = false;
  const unasked = createUnaskedContinue();

  // No request is under way, so any data (such as `408 Request Timeout`) means that the peer closes. It has
  // to be read, because a socket with unread bytes never ends.
  const onEarly = () => {
    if (socket.read() !== null) socket.destroy();
  };
  socket.on('readable', onEarly);
  socket.on('error', (error) => (failure ??= error));
  socket.on('close', () => events.onClose(connection, closing ?? reasonOf(socket)));
  socket.unref();

  function createClient(): Client {
    socket.off('readable', onEarly);
    const read = socket.read.bind(socket);
    socket.read = (size?: number): unknown => {
      const bytes: unknown = read(size);
      if (bytes instanceof Uint8Array) {
        unasked.pass(bytes);
        if (gathers) gathering?.wasRead(socket);
      }
      return bytes;
    };
    // The Client expects a referenced socket, and unreferences it itself.
    socket.ref();
    return new Client(origin, {
      // A Client reconnects when its socket has closed: it gets no other one. Never in the same turn, because
      // it would not notice.
      connect: (_, callback) =>
        queueMicrotask(() => {
          if (socket.destroyed) callback(new NotSent(), null);
          else callback(null, socket);
        }),
      allowH2: false,
      pipelining: 1,
      // The pool manages idle connections, because it knows which ones to keep; the Client only handles the
      // timeout that a provider announces.
      keepAliveTimeout: longestIdleMs,
      keepAliveMaxTimeout: longestIdleMs,
      keepAliveTimeoutThreshold: announcedMarginMs,
      // The attempt enforces timeouts, because it knows what counts as progress.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  const connection: Connection = {
    protocol: 'h1',
    address,
    openedAt: now(),
    capacity: 1,
    get isOpen() {
      return !socket.destroyed;
    },
    get bytesRead() {
      return socket.bytesRead;
    },
    get failure() {
      return failure;
    },
    active: 0,
    served: 0,
    idleSince: now(),
    retired: undefined,
    listed: false,
    send(options, handler) {
      client ??= createClient();
      unasked.expect();
      connection.gather?.(false);
      client.dispatch(options, handler);
    },
    gather(on) {
      gathers = on;
      if (!on) gathering?.release(socket);
    },
    close(reason) {
      closing ??= reason;
      socket.destroy();
    },
  };
  return connection;
}

/** undici destroys sockets with the reason as their error. */
function reasonOf(socket: Socket): CloseReason {
  const { errored } = socket;
  if (!errored) return 'peer';
  const code = 'code' in errored ? errored.code : undefined;
  if (code === 'UND_ERR_SOCKET') return 'peer';
  if (code !== 'UND_ERR_INFO') return 'error';
  if (errored.message === 'aborted') return 'aborted';
  return errored.message === 'socket idle timeout' ? 'idle' : 'peer';
}
