import { StringDecoder } from 'node:string_decoder';
import { createParser } from 'eventsource-parser';

/** One Server-Sent Event. `event` and `id` are absent unless this very event named them. */
export interface UpstreamEvent {
  event?: string | undefined;
  data: string;
  id?: string | undefined;
}

export interface EventStreamOptions {
  /** Called synchronously, in order, from within `push` and `end`. Must not throw. */
  onEvent(event: UpstreamEvent): void;
  /** Called with each comment's text; without it comments are dropped unread. Must not throw. */
  onComment?(comment: string): void;
  /**
   * The longest `data` one event may have, in bytes of UTF-8. Besides it, a line that is not yet
   * complete may hold about a kilobyte of names and comments.
   */
  maxEventBytes: number;
}

export interface EventStreamParser {
  /**
   * Takes the next bytes of the body, split anywhere: the bytes may be reused afterwards.
   * @throws {EventTooLargeError} when an event outgrows `maxEventBytes`, after every event before
   * it was delivered; the parser is of no use from then on and throws the same error again.
   */
  push(bytes: Uint8Array): void;
  /**
   * The body is over. Delivers the event that was still waiting for its blank line, if it has data.
   * Idempotent; `push` after it is an error of the caller's.
   * @throws {EventTooLargeError} as `push` does.
   */
  end(): void;
}

/** An upstream sent an event larger than anyone should have to hold in memory. */
export class EventTooLargeError extends Error {
  readonly code = 'upstream_response_too_large';
  readonly maxEventBytes: number;

  constructor(maxEventBytes: number) {
    super(`The upstream sent an event of more than ${maxEventBytes} bytes`);
    this.name = 'EventTooLargeError';
    this.maxEventBytes = maxEventBytes;
  }
}

/** Room, in characters, for `data: ` and for the lines beside the data: `event:`, `id:`, comments. */
const OVERHEAD = 1024;

/** UTF-8 takes at most this many bytes for one UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;

/**
 * Parses the body of a `text/event-stream` response as it arrives, one parser per body.
 *
 * The parsing is eventsource-parser's. StringDecoder in front of it is cheaper than a streaming
 * TextDecoder and replaces broken UTF-8 in the same way. Measured, with the reason for not having a
 * parser of our own: docs/decisions/2026-11-20-sse-parser.md.
 */
export function createEventStreamParser(options: EventStreamOptions): EventStreamParser {
  const { onEvent, onComment, maxEventBytes } = options;
  const decoder = new StringDecoder('utf8');
  let failure: EventTooLargeError | undefined;
  let ended = false;

  const parser = createParser({
    onEvent(event) {
      if (failure) return;
      if (isLongerThan(event.data, maxEventBytes)) failure = new EventTooLargeError(maxEventBytes);
      else onEvent(event);
    },
    onComment,
    // Unknown fields and odd `retry` values come here too: the standard says to ignore them.
    onError(error) {
      if (error.type !== 'max-buffer-size-exceeded') return;
      failure ??= new EventTooLargeError(maxEventBytes);
    },
    // Counts characters, and there are never more of them than bytes: so this never refuses an
    // event that fits. It only keeps one that never ends from growing; onEvent has the exact bound.
    maxBufferSize: maxEventBytes + OVERHEAD,
  });

  function feed(text: string): void {
    throwFailure();
    parser.feed(text);
    throwFailure();
  }

  function throwFailure(): void {
    if (failure) throw failure;
  }

  return {
    push(bytes) {
      if (ended) throw new Error('push() after end()');
      feed(decoder.write(bytes));
    },
    end() {
      if (ended) return;
      ended = true;
      // The standard drops an event that no blank line ends. Real providers leave out the last
      // newline or two, usually after `data: [DONE]`, so it is delivered here: the first newline
      // ends an open line, the second the event. The price: where the body was cut in mid-event,
      // what comes out is the part that arrived, and it is the reader's JSON.parse that tells.
      feed(`${decoder.end()}\n\n`);
    },
  };
}

function isLongerThan(text: string, bytes: number): boolean {
  if (text.length * MAX_BYTES_PER_UNIT <= bytes) return false;
  return text.length > bytes || Buffer.byteLength(text) > bytes;
}
