import type { Socket } from 'node:net';
import type { WebSocket } from '@fastify/websocket';

/* Closes WebSockets, and reports why each of them ended. */

/** Why the server closes sockets, with the close code and the reason text for the client. */
const closeCodes = {
  idle: [1001, 'nothing was asked on this socket for too long'],
  no_key: [1008, 'no valid key was shown'],
  key_ended: [1008, 'the API key is not valid any more'],
  unfinished: [1008, 'a frame did not arrive in time'],
  expired: [1001, 'the connection was open as long as it may be'],
  broken: [1011, 'the server had an error'],
  drained: [1012, 'the server restarts, come back'],
  stalled: [1013, 'the reader took nothing for too long'],
  busy: [1013, 'the server holds as many frames as it may'],
} as const;

export type CloseReason = keyof typeof closeCodes;

/** `client`: by a closing handshake of the client; `lost`: without one. */
export type EndReason = CloseReason | 'dead' | 'too_large' | 'malformed' | 'client' | 'lost';

/** Errors of ws about oversize frames; all its other errors count as `malformed`. */
const oversize = new Set([
  'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH',
  'WS_ERR_TOO_MANY_BUFFERED_PARTS',
]);

/** Milliseconds that a closing handshake may take; then the connection is cut. */
export const closingMs = 5000;

export type SocketCloser = {
  /** Closes with a handshake: frames that the client sent before still arrive. */
  close(reason: CloseReason): void;
  /** As `close`, but discards what the client still sends. */
  closeUnread(reason: CloseReason): void;
  /** Closes at once, without a handshake. */
  terminate(reason: 'dead' | 'stalled'): void;
};

/** `onEnded` is called once, with the first reason. */
export function createSocketCloser(
  socket: WebSocket,
  raw: Socket,
  onEnded: (reason: EndReason) => void,
): SocketCloser {
  let endReason: EndReason | undefined;

  function close(reason: CloseReason): void {
    endReason ??= reason;
    const [code, text] = closeCodes[reason];
    socket.close(code, text);
  }

  // ws closes it with the right code.
  socket.on('error', ({ code }: Error & { code?: string }) => {
    if (code?.startsWith('WS_ERR')) endReason ??= oversize.has(code) ? 'too_large' : 'malformed';
  });
  socket.on('close', (code: number) => onEnded(endReason ?? (code === 1006 ? 'lost' : 'client')));

  return {
    close,
    closeUnread(reason) {
      close(reason);
      // As ws does after a malformed frame: if there were unread bytes, the close would be a TCP reset, and
      // the client would not see the code.
      raw.removeAllListeners('data');
      raw.resume();
      raw.end();
    },
    terminate(reason) {
      endReason ??= reason;
      if (reason === 'stalled') close(reason);
      socket.terminate();
    },
  };
}
