import type { Socket } from 'node:net';
import { Client } from 'undici';
import { NotSent } from './connection.ts';
import type { Gathering } from '../../coalescing/gathering.ts';
import type { CloseReason, Connection, ConnectionEvents } from './connection.ts';
import type { Opened } from './open.ts';
import { createUnaskedContinue } from './unasked-continue.ts';

/** Milliseconds before the end that a provider announced (`Keep-Alive: timeout=…`). */
const announcedMarginMs = 1000;

export type H1Options = {
  origin: string;
  longestIdleMs: number;
  gathering?: Gathering | undefined;
  now: () => number;
};

/**
 * HTTP/1.1 on an open socket: undici's Client with nothing to connect. The Client is made by the
 * first request; until then the socket lies on the shelf, and is watched for its end.
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

  // No request is under way: whatever comes (as `408 Request Timeout`) is a goodbye. It has to be
  // read, as a socket with unread bytes never ends.
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
    // The Client counts on a socket that holds the process, and lets go of it by itself.
    socket.ref();
    return new Client(origin, {
      // A Client connects again by itself when its socket is gone: it gets no other. Never in the
      // same turn: it would not notice.
      connect: (_, callback) =>
        queueMicrotask(() => {
          if (socket.destroyed) callback(new NotSent(), null);
          else callback(null, socket);
        }),
      allowH2: false,
      pipelining: 1,
      // Idle connections are the pool's business, which knows which ones to keep; only what the
      // provider announces is the Client's.
      keepAliveTimeout: longestIdleMs,
      keepAliveMaxTimeout: longestIdleMs,
      keepAliveTimeoutThreshold: announcedMarginMs,
      // Time is watched by the attempt, which knows what progress is.
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

/** undici destroys sockets with the reason. */
function reasonOf(socket: Socket): CloseReason {
  const { errored } = socket;
  if (!errored) return 'peer';
  const code = 'code' in errored ? errored.code : undefined;
  if (code === 'UND_ERR_SOCKET') return 'peer';
  if (code !== 'UND_ERR_INFO') return 'error';
  if (errored.message === 'aborted') return 'aborted';
  return errored.message === 'socket idle timeout' ? 'idle' : 'peer';
}
