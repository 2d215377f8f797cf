import type { WebSocket } from '@fastify/websocket';
import { createPieces } from './write-queue.ts';
import type { ReadingGate } from './backpressure.ts';

/** What waits to be sent on one WebSocket, with a bound for all the requests on it. */
export type SocketOutbox = {
  /** False when the socket holds enough: wait for `onDrain`. */
  send(text: string): boolean;
  /** False from a `send` that returned false until `onDrain`. */
  hasRoom(): boolean;
  /** Bytes that wait to be sent. */
  held(): number;
  /** Calls `close` when nothing waits any more. What is sent meanwhile still goes before. */
  end(close: () => void): void;
};

export type SocketOutboxOptions = {
  socket: WebSocket;
  gate: ReadingGate;
  limits: { readerBufferBytes: number; readerStallMs: number };
  onDrain(): void;
  /** Something began to wait for the reader, or a part of it has left. */
  onMoved(): void;
  /** The reader took nothing for too long. */
  onStalled(): void;
};

/**
 * Bytes that the socket is given at a time when there is more than that: each piece that leaves
 * says that the reader still takes something, also in the middle of one long frame.
 */
const pieceBytes = 32 * 1024;

export function openSocketOutbox(options: SocketOutboxOptions): SocketOutbox {
  const { socket, gate, limits, onDrain, onMoved, onStalled } = options;
  /** Frames that the socket was not given yet, the first of them perhaps in part. */
  const waiting = createPieces();
  let full = false;
  let close: (() => void) | undefined;
  let stallTimer: NodeJS.Timeout | undefined;

  const held = () => waiting.bytes + socket.bufferedAmount;
  const watchForStall = () => {
    stallTimer ??= setTimeout(onStalled, limits.readerStallMs);
  };
  const stopWatching = () => {
    clearTimeout(stallTimer);
    stallTimer = undefined;
  };

  function pass(): void {
    while (socket.bufferedAmount < pieceBytes) {
      const piece = waiting.take(pieceBytes);
      if (!piece) break;
      socket.send(piece.bytes, { binary: false, fin: piece.last }, onSent);
    }
  }

  function onSent(): void {
    if (socket.readyState !== socket.OPEN) return;
    if (waiting.bytes > 0) {
      onMoved();
      pass();
    }
    stallTimer?.refresh();
    if (full && held() <= limits.readerBufferBytes / 2) {
      full = false;
      if (!close) stopWatching();
      gate.open('full');
      onDrain();
    }
    closeWhenEmpty();
  }

  function closeWhenEmpty(): void {
    if (!close || held() > 0) return;
    stopWatching();
    close();
  }

  socket.on('close', () => {
    stopWatching();
    waiting.clear();
  });

  return {
    send(text) {
      if (socket.readyState !== socket.OPEN) return false;
      if (waiting.bytes === 0 && socket.bufferedAmount + text.length <= pieceBytes) {
        socket.send(text, onSent);
      } else {
        const isFirst = waiting.bytes === 0;
        waiting.push(text);
        pass();
        if (isFirst && waiting.bytes > 0) onMoved();
      }
      if (held() <= limits.readerBufferBytes) return !full;
      if (!full) {
        full = true;
        // Nor does it get answers to what it goes on sending.
        gate.shut('full');
        watchForStall();
      }
      return false;
    },
    hasRoom: () => !full,
    held,
    end(toClose) {
      if (close) return;
      close = toClose;
      watchForStall();
      closeWhenEmpty();
    },
  };
}
