import type { WebSocket } from '@fastify/websocket';
import { createPieces } from './pieces.ts';
import type { ReadingGate } from './reading-gate.ts';

/** What waits to be sent on one WebSocket, with a bound for all the requests on it. */
export type SocketOutbox = {
  /** False when the socket holds enough: wait for `onDrain`. */
  send(text: string): boolean;
  /** Bytes that wait to be sent. */
  held(): number;
  close(code: number, reason: string): void;
};

export type SocketOutboxOptions = {
  socket: WebSocket;
  gate: ReadingGate;
  limits: { readerBufferBytes: number; readerStallMs: number };
  onDrain(): void;
};

/** Close code for a reader that took nothing for too long: "try again later". */
const tooSlow = 1013;

/**
 * Bytes that the socket is given at a time when there is more than that: each piece that leaves
 * says that the reader still takes something, also in the middle of one long frame.
 */
const pieceBytes = 32 * 1024;

export function openSocketOutbox(options: SocketOutboxOptions): SocketOutbox {
  const { socket, gate, limits, onDrain } = options;
  /** Frames that the socket was not given yet, the first of them perhaps in part. */
  const waiting = createPieces();
  let full = false;
  let stallTimer: NodeJS.Timeout | undefined;

  const held = () => waiting.bytes + socket.bufferedAmount;

  function pass(): void {
    while (socket.bufferedAmount < pieceBytes) {
      const piece = waiting.take(pieceBytes);
      if (!piece) break;
      socket.send(piece.bytes, { binary: false, fin: piece.last }, onSent);
    }
  }

  function onSent(): void {
    if (socket.readyState !== socket.OPEN) return;
    if (waiting.bytes > 0) pass();
    if (!full) return;
    if (held() > limits.readerBufferBytes / 2) {
      stallTimer?.refresh();
      return;
    }
    full = false;
    clearTimeout(stallTimer);
    gate.open('full');
    onDrain();
  }

  function endStalled(): void {
    socket.close(tooSlow, 'the reader took nothing for too long');
    socket.terminate();
  }

  socket.on('close', () => {
    clearTimeout(stallTimer);
    waiting.clear();
  });

  return {
    send(text) {
      if (socket.readyState !== socket.OPEN) return false;
      if (waiting.bytes === 0 && socket.bufferedAmount + text.length <= pieceBytes) {
        socket.send(text, onSent);
      } else {
        waiting.push(text);
        pass();
      }
      if (held() <= limits.readerBufferBytes) return !full;
      if (!full) {
        full = true;
        // Nor does it get answers to what it goes on sending.
        gate.shut('full');
        stallTimer = setTimeout(endStalled, limits.readerStallMs);
      }
      return false;
    },
    held,
    close: (code, reason) => socket.close(code, reason),
  };
}
