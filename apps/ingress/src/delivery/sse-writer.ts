import type { ServerResponse } from 'node:http';
import { createWriteQueue } from './write-queue.ts';

/** Writes an event stream, or another answer that comes in parts, to one response, with a bound on the buffered bytes. */
export type SseWriter = {
  /** Starts the keep-alives. Before that the head is not sent, so the answer can still be an error. */
  begin(): void;
  /** Returns false if the buffer is full: wait for `onDrain`. The head is sent with the first write. */
  write(text: string | Buffer): boolean;
  /** Writes a last text and ends the response. Later calls have no effect. */
  end(text: string): void;
  readonly started: boolean;
  /** `end` was called; data may still wait to be sent. */
  readonly ended: boolean;
  /** False from a `write` that returned false until `onDrain`. */
  hasRoom(): boolean;
  /** Bytes that wait to be sent. */
  held(): number;
};

export type SseWriterOptions = {
  response: ServerResponse;
  /** Called when the head is sent. They are added to those of an event stream, and replace them. */
  headers: () => Record<string, string>;
  limits: { readerBufferBytes: number; readerStallMs: number };
  /** Absent: the answer has no keep-alives. */
  keepAlive?: KeepAlive;
  /** The text of a keep-alive; empty or absent: a comment. */
  keepAliveText?(): string;
  onDrain(): void;
  /** The error event that ends the stream if the reader reads nothing for too long. Absent: it breaks off. */
  stalled?(): string;
};

export const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // Asks nginx and similar proxies not to buffer.
  'x-accel-buffering': 'no',
};

/**
 * A comment on a line of its own, without a blank line after it: a blank line ends an event, and
 * openai-python, once it has received an id, takes one for an event with empty data, which it cannot parse.
 */
export const sseComment = (text: string): string => `: ${text}\n`;

const sseKeepAlive = sseComment('keep-alive');

/** Bytes passed to the socket at a time: each chunk that is sent shows that the reader still reads. */
const chunkBytes = 32 * 1024;

/** Sends nothing yet: the head waits for the first write, or for a keep-alive after `begin`. */
export function openSseWriter(options: SseWriterOptions): SseWriter {
  const { response, headers, limits, keepAlive, onDrain, stalled } = options;
  let started = false;
  let full = false;
  let ended = false;
  const waiting = createWriteQueue();
  let stallTimer: NodeJS.Timeout | undefined;

  const held = () => waiting.bytes + response.writableLength;
  const watchForStall = () => {
    // After `close` nothing would stop the timer.
    if (!response.destroyed) stallTimer ??= setTimeout(endStalled, limits.readerStallMs);
  };

  function send(text: string | Buffer): void {
    if (response.destroyed) return;
    if (!started) {
      started = true;
      response.writeHead(200, { ...sseHeaders, ...headers() });
    }
    if (waiting.bytes === 0 && held() + text.length <= chunkBytes) response.write(text, onSent);
    else {
      waiting.push(text);
      flush();
    }
    quiet?.touch();
  }

  function flush(): void {
    while (response.writableLength < chunkBytes) {
      const chunk = waiting.take(chunkBytes);
      if (!chunk) break;
      response.write(chunk.bytes, onSent);
    }
    if (ended && waiting.bytes === 0) response.end();
  }

  /** The callback of every write. Node's `drain` uses another bound than ours. */
  function onSent(): void {
    if (response.destroyed) return;
    stallTimer?.refresh();
    if (waiting.bytes > 0) flush();
    if (ended || !full || held() > limits.readerBufferBytes / 2) return;
    full = false;
    clearTimeout(stallTimer);
    stallTimer = undefined;
    onDrain();
  }

  let quiet: ReturnType<KeepAlive['watch']> | undefined;
  function begin(): void {
    if (ended || response.destroyed) return;
    quiet ??= keepAlive?.watch(() => {
      // A full connection is not idle, and a comment would only add to it.
      if (!full) send(options.keepAliveText?.() || sseKeepAlive);
    });
  }

  function endStalled(): void {
    if (stalled && waiting.bytes === 0 && !response.writableEnded) response.end(stalled());
    // A reader that read nothing for so long will not read the rest now.
    response.destroy();
  }

  response.on('close', () => {
    clearTimeout(stallTimer);
    quiet?.stop();
  });

  return {
    begin,
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
      quiet?.stop();
      if (text !== '') send(text);
      ended = true;
      flush();
      // The rest is sent at the reader's pace, but not for ever.
      watchForStall();
    },
  };
}

/** Calls back connections on which nothing was sent for an interval, with one timer for all of them. */
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
