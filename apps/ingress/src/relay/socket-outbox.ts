import type { WebSocket } from '@fastify/websocket';

/** What waits to be sent on one WebSocket, with a bound for all the requests on it. */
export type SocketOutbox = {
  /** False when the socket holds enough: wait for `onDrain`. */
  send(text: string): boolean;
  close(code: number, reason: string): void;
};

export type SocketOutboxOptions = {
  socket: WebSocket;
  limits: { readerBufferBytes: number; readerStallMs: number };
  onDrain(): void;
};

/** Close code for a reader that took nothing for too long: "try again later". */
const tooSlow = 1013;

export function openSocketOutbox({ socket, limits, onDrain }: SocketOutboxOptions): SocketOutbox {
  let full = false;
  let stallTimer: NodeJS.Timeout | undefined;

  function onSent(): void {
    if (!full) return;
    if (socket.bufferedAmount > limits.readerBufferBytes / 2) {
      stallTimer?.refresh();
      return;
    }
    full = false;
    clearTimeout(stallTimer);
    socket.resume();
    onDrain();
  }

  socket.on('close', () => clearTimeout(stallTimer));

  return {
    send(text) {
      if (socket.readyState !== socket.OPEN) return false;
      socket.send(text, onSent);
      if (socket.bufferedAmount <= limits.readerBufferBytes) return true;
      if (!full) {
        full = true;
        // Nor does it get answers to what it goes on sending.
        socket.pause();
        stallTimer = setTimeout(() => {
          socket.close(tooSlow, 'the reader took nothing for too long');
          socket.terminate();
        }, limits.readerStallMs);
      }
      return false;
    },
    close: (code, reason) => socket.close(code, reason),
  };
}
