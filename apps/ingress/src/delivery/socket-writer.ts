import type { WebSocket } from '@fastify/websocket';
import { createWriteQueue } from './write-queue.ts';
import type { Backpressure } from './backpressure.ts';

/** Writes to one WebSocket, with one bound on the buffered bytes of all requests on it. */
export type SocketWriter = {
  /** False when the buffer is full: wait for `onDrain`. */
  send(text: string): boolean;
  /** False from a `send` that returned false until `onDrain`. */
  hasRoom(): boolean;
  /** Bytes that wait to be sent. */
  held(): number;
  /** Calls `close` when nothing waits any more; later texts are still sent before it. */
  end(close: () => void): void;
};

export type SocketWriterOptions = {
  socket: WebSocket;
  backpressure: Backpressure;
  limits: { readerBufferBytes: number; readerStallMs: number };
  onDrain(): void;
  /** Bytes began to wait for the reader, or the reader read some of them. */
  onProgress(): void;
  /** So many bytes were passed on, to the kernel or to wait for it. */
  onWritten(bytes: number): void;
  /** The reader read nothing for too long. */
  onStalled(): void;
};

/**
 * Bytes passed to the socket at a time: each chunk that is sent shows that the reader still reads, also in
 * the middle of a long frame.
 */
const chunkBytes = 32 * 1024;

export function openSocketWriter(options: SocketWriterOptions): SocketWriter {
  const { socket, backpressure, limits, onDrain, onProgress, onWritten, onStalled } = options;
  /** Frames that were not passed to the socket yet; the first one may be partly sent. */
  const waiting = createWriteQueue();
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

  function flush(): void {
    while (socket.bufferedAmount < chunkBytes) {
      const chunk = waiting.take(chunkBytes);
      if (!chunk) break;
      socket.send(chunk.bytes, { binary: false, fin: chunk.last }, onSent);
    }
  }

  function onSent(): void {
    if (socket.readyState !== socket.OPEN) return;
    if (waiting.bytes > 0) {
      onProgress();
      flush();
    }
    stallTimer?.refresh();
    if (full && held() <= limits.readerBufferBytes / 2) {
      full = false;
      if (!close) stopWatching();
      backpressure.resume('full');
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
      if (waiting.bytes === 0 && socket.bufferedAmount + text.length <= chunkBytes) {
        socket.send(text, onSent);
      } else {
        const isFirst = waiting.bytes === 0;
        waiting.push(text);
        flush();
        if (isFirst && waiting.bytes > 0) onProgress();
      }
      onWritten(text.length);
      if (held() <= limits.readerBufferBytes) return !full;
      if (!full) {
        full = true;
        // Further frames of the client would only add answers.
        backpressure.pause('full');
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
