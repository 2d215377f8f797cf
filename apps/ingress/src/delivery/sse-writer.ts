import type { ServerResponse } from 'node:http';
import { sseKeepAlive } from './encode.ts';
import { createPieces } from './write-queue.ts';

/** One response that streams events, with a bound on what waits in it. */
export type SseConnection = {
  /** False when it holds enough: wait for `onDrain`. The head goes out with the first write. */
  write(text: string): boolean;
  /** Writes a last text and ends the response. The first call counts: nothing follows its text. */
  end(text: string): void;
  readonly started: boolean;
  /** All was said, though perhaps not all of it is sent. */
  readonly ended: boolean;
  /** False from a `write` that returned false until `onDrain`. */
  hasRoom(): boolean;
  /** Bytes that wait to be sent. */
  held(): number;
};

export type SseOptions = {
  response: ServerResponse;
  /** As known when the head is sent. */
  headers: () => Record<string, string>;
  limits: { readerBufferBytes: number; readerStallMs: number };
  keepAlive: KeepAlive;
  onDrain(): void;
  /** The reader took nothing for too long; its connection is ended with this error. */
  stalled: string;
};

export const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // Asks nginx and its kin not to buffer.
  'x-accel-buffering': 'no',
};

/**
 * Bytes that the socket is given at a time when there is more than that: each piece that leaves
 * says that the reader still takes something.
 */
const pieceBytes = 32 * 1024;

/** Opens it without sending anything yet: the head waits for the first write or keep-alive. */
export function openSse(options: SseOptions): SseConnection {
  const { response, headers, limits, keepAlive, onDrain, stalled } = options;
  let started = false;
  let full = false;
  let ended = false;
  const waiting = createPieces();
  let stallTimer: NodeJS.Timeout | undefined;

  const held = () => waiting.bytes + response.writableLength;
  const watchForStall = () => {
    // Nobody would stop it any more: `close` was.
    if (!response.destroyed) stallTimer ??= setTimeout(endStalled, limits.readerStallMs);
  };

  function send(text: string): void {
    if (response.destroyed) return;
    if (!started) {
      started = true;
      response.writeHead(200, { ...sseHeaders, ...headers() });
    }
    if (waiting.bytes === 0 && held() + text.length <= pieceBytes) response.write(text, onSent);
    else {
      waiting.push(text);
      pass();
    }
    quiet.touch();
  }

  function pass(): void {
    while (response.writableLength < pieceBytes) {
      const piece = waiting.take(pieceBytes);
      if (!piece) break;
      response.write(piece.bytes, onSent);
    }
    if (ended && waiting.bytes === 0) response.end();
  }

  /** Of every write, and not `drain`, which knows another bound than ours. */
  function onSent(): void {
    if (response.destroyed) return;
    stallTimer?.refresh();
    if (waiting.bytes > 0) pass();
    if (ended || !full || held() > limits.readerBufferBytes / 2) return;
    full = false;
    clearTimeout(stallTimer);
    stallTimer = undefined;
    onDrain();
  }

  const quiet = keepAlive.watch(() => {
    // A full connection is not idle, and a comment would only add to it.
    if (!full) send(sseKeepAlive);
  });

  function endStalled(): void {
    if (waiting.bytes === 0 && !response.writableEnded) response.end(stalled);
    // What the reader did not take in all that time it will not take now.
    response.destroy();
  }

  response.on('close', () => {
    clearTimeout(stallTimer);
    quiet.stop();
  });

  return {
    get started() {
      return started;
    },
    hasRoom: () => !full,
    held,
    write(text) {
      if (ended) return !full;
      send(text);
      full ||= held() > limits.readerBufferBytes;
      if (full) watchForStall();
      return !full;
    },
    get ended() {
      return ended;
    },
    end(text) {
      if (ended) return;
      quiet.stop();
      if (text !== '') send(text);
      ended = true;
      pass();
      // What is left to send goes at the reader's pace, and not for ever.
      watchForStall();
    },
  };
}

/** Tells connections that nothing was sent on them for a while: one timer for all of them. */
export type KeepAlive = {
  watch(onQuiet: () => void): { touch(): void; stop(): void };
  readonly watched: number;
  close(): void;
};

export function createKeepAlive(intervalMs: number): KeepAlive {
  const watched = new Set<{ at: number; onQuiet: () => void }>();
  const timer = setInterval(
    () => {
      const now = Date.now();
      for (const one of watched) {
        if (now - one.at < intervalMs) continue;
        one.at = now;
        one.onQuiet();
      }
    },
    Math.max(10, intervalMs / 15),
  );
  timer.unref();
  return {
    watch(onQuiet) {
      const one = { at: Date.now(), onQuiet };
      watched.add(one);
      return {
        touch: () => {
          one.at = Date.now();
        },
        stop: () => watched.delete(one),
      };
    },
    get watched() {
      return watched.size;
    },
    close: () => clearInterval(timer),
  };
}
