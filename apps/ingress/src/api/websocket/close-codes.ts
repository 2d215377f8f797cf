import type { Socket } from 'node:net';
import type { WebSocket } from '@fastify/websocket';

/* How a WebSocket ends, and what is counted then. */

/** What the server ends sockets for, with the close code and the words that their clients get. */
const farewells = {
  idle: [1001, 'nothing was asked on this socket for too long'],
  no_key: [1008, 'no valid key was shown'],
  unfinished: [1008, 'a frame did not arrive in time'],
  broken: [1011, 'the server had an error'],
  drained: [1012, 'the server restarts, come back'],
  stalled: [1013, 'the reader took nothing for too long'],
  busy: [1013, 'the server holds as many frames as it may'],
} as const;

export type Farewell = keyof typeof farewells;

/** `client`: by a closing handshake of the client; `lost`: without one. */
export type EndReason = Farewell | 'dead' | 'too_large' | 'malformed' | 'client' | 'lost';

/** What ws finds wrong with frames; all else of it is `malformed`. */
const oversize = new Set([
  'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH',
  'WS_ERR_TOO_MANY_BUFFERED_PARTS',
]);

/** Milliseconds that a closing handshake may take; then the connection is cut. */
export const closingMs = 5000;

export type SocketEnd = {
  /** With a closing handshake: what the client has sent before it still arrives. */
  close(farewell: Farewell): void;
  /** As `close`, for a client that is not listened to any more: what it still sends is passed over. */
  hangUp(farewell: Farewell): void;
  /** At once. */
  cut(reason: 'dead' | 'stalled'): void;
};

/** `onEnded` is told once, by the first one who ended it. */
export function createSocketEnd(
  socket: WebSocket,
  raw: Socket,
  onEnded: (reason: EndReason) => void,
): SocketEnd {
  let reason: EndReason | undefined;

  function close(farewell: Farewell): void {
    reason ??= farewell;
    const [code, words] = farewells[farewell];
    socket.close(code, words);
  }

  // ws closes it with the right code.
  socket.on('error', ({ code }: Error & { code?: string }) => {
    if (code?.startsWith('WS_ERR')) reason ??= oversize.has(code) ? 'too_large' : 'malformed';
  });
  socket.on('close', (code: number) => onEnded(reason ?? (code === 1006 ? 'lost' : 'client')));

  return {
    close,
    hangUp(farewell) {
      close(farewell);
      // As ws does it after a malformed frame: unread bytes would make the end a reset, and the
      // client would not see the code.
      raw.removeAllListeners('data');
      raw.resume();
      raw.end();
    },
    cut(why) {
      reason ??= why;
      if (why === 'stalled') close(why);
      socket.terminate();
    },
  };
}
