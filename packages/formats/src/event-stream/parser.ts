import { isUtf8 } from 'node:buffer';
import { StringDecoder } from 'node:string_decoder';
import { answerBounds, jsonExcess } from '@millrace/shared/domain/json-bounds';
import { createParser } from 'eventsource-parser';

/** One Server-Sent Event. `event` and `id` are absent unless this very event named them. */
export interface UpstreamEvent {
  event?: string | undefined;
  data: string;
  id?: string | undefined;
  /** Bytes in it, or in an earlier event, are not valid UTF-8: its data has U+FFFD in their place. */
  isDamaged?: true;
}

export interface EventStreamOptions {
  /** Called synchronously, in order, from within `push` and `end`. Must not throw. */
  onEvent(event: UpstreamEvent): void;
  /** Called with each comment's text; without it comments are dropped. Must not throw. */
  onComment?(comment: string): void;
  /**
   * Called with each line that is neither a field nor a comment (an error page in the middle, JSON whose
   * `data:` was lost), in order with the events; without it they are dropped, as the standard requires. An
   * unknown field (`name: value`) is not such a line. Must not throw.
   */
  onStray?(line: string): void;
  /**
   * The longest `data` of one event, in bytes of UTF-8. In addition, an incomplete line may hold about a
   * kilobyte of names and comments.
   */
  maxEventBytes: number;
}

export interface EventStreamParser {
  /**
   * Takes the next bytes of the body, split anywhere: the bytes may be reused afterwards.
   * @throws {EventTooLargeError} when an event outgrows `maxEventBytes` or `answerBounds`, after every event before
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

/** An upstream sent an event above the size limit. */
export class EventTooLargeError extends Error {
  readonly code = 'upstream_response_too_large';
  readonly maxEventBytes: number;

  constructor(maxEventBytes: number, most = `${maxEventBytes} bytes`) {
    super(`The upstream sent an event of more than ${most}`);
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
 * It uses eventsource-parser. A StringDecoder in front of it is cheaper than a streaming TextDecoder and
 * replaces broken UTF-8 in the same way. docs/decisions/2026-11-20-sse-parser.md has measurements, and the
 * reason for not writing a parser.
 */
export const createEventStreamParser = (options: EventStreamOptions): EventStreamParser =>
  new BoundedParser(options);

class BoundedParser implements EventStreamParser {
  private readonly options: EventStreamOptions;
  private readonly parser: ReturnType<typeof createParser>;
  private readonly decoder = new StringDecoder('utf8');
  private failure: EventTooLargeError | undefined;
  private ended = false;
  /** The bytes of an incomplete character at the end of the last packet. */
  private tail: Uint8Array = none;
  private isDamaged = false;
  /** The beginning of a line that so far is no field. */
  private held = '';
  /** The library has the beginning of a line that is a field. */
  private isInField = false;

  constructor(options: EventStreamOptions) {
    this.options = options;
    this.parser = createParser({
      onEvent: (event) => this.onEvent(event),
      onComment: options.onComment,
      // Unknown fields and invalid `retry` values are reported here, too: the standard says to ignore them.
      onError: ({ type, field = '', value = '', line = '' }) => {
        if (type === 'max-buffer-size-exceeded') {
          this.failure ??= new EventTooLargeError(options.maxEventBytes);
        } else if (type === 'unknown-field' && isStray(field, value) && !this.failure) {
          options.onStray?.(line);
        }
      },
      // It counts characters, which are never more than the bytes, so it never refuses an event that fits. It
      // only bounds one that never ends; onEvent has the exact bound.
      maxBufferSize: options.maxEventBytes + OVERHEAD,
    });
  }

  push(bytes: Uint8Array): void {
    if (this.ended) throw new Error('push() after end()');
    this.feedLines(this.decode(bytes));
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    // The standard drops an event without a blank line after it. Real providers omit the last newline or two,
    // usually after `data: [DONE]`, so the event is delivered here: the first newline ends an open line, the
    // second one the event. In return, if the body was cut inside an event, the part that arrived is
    // delivered, and the reader's JSON.parse detects it.
    this.isDamaged ||= this.tail.length > 0;
    this.feedLines(`${this.decoder.end()}\n\n`);
  }

  private onEvent(event: UpstreamEvent): void {
    if (this.failure) return;
    const { onEvent, maxEventBytes } = this.options;
    if (isLongerThan(event.data, maxEventBytes)) {
      this.failure = new EventTooLargeError(maxEventBytes);
    } else if (jsonExcess(event.data, answerBounds)) {
      this.failure = new EventTooLargeError(maxEventBytes, `${answerBounds.values} values`);
    } else if (this.isDamaged && event.data.includes(replacement)) {
      onEvent({ ...event, isDamaged: true });
    } else onEvent(event);
  }

  /** A provider may send U+FFFD itself; data is lost only where it replaces other bytes. */
  private decode(bytes: Uint8Array): string {
    if (bytes.length === 0) return '';
    const text = this.decoder.write(bytes);
    const before = this.tail;
    this.tail = endsInCharacter(bytes) ? none : openCharacter(Buffer.concat([before, bytes]));
    // indexOf, because includes costs several times as much for one character.
    if (!this.isDamaged && text.indexOf(replacement) !== -1) {
      const read = Buffer.concat([before, bytes]);
      this.isDamaged = !isUtf8(read.subarray(0, read.length - this.tail.length));
    }
    return text;
  }

  /**
   * The library silently drops a line that is no field if it arrives in parts, so it gets such a line as a
   * whole.
   */
  private feedLines(text: string): void {
    const last = text.charCodeAt(text.length - 1);
    if (this.held === '' && (last === LF || last === CR)) {
      this.isInField = false;
      this.feed(text);
      return;
    }
    const all = this.held + text;
    const end = Math.max(all.lastIndexOf('\n'), all.lastIndexOf('\r')) + 1;
    if (end > 0) this.isInField = false;
    this.isInField ||= isField(all.slice(end, end + longestName));
    this.held = this.isInField ? '' : all.slice(end);
    this.feed(this.isInField ? all : all.slice(0, end));
    if (this.held.length > maxStrayChars) this.failure ??= new EventTooLargeError(maxStrayChars);
    this.throwFailure();
  }

  private feed(text: string): void {
    this.throwFailure();
    this.parser.feed(text);
    this.throwFailure();
  }

  private throwFailure(): void {
    if (this.failure) throw this.failure;
  }
}

const LF = 0x0a;
const CR = 0x0d;

const fieldNames = ['data', 'event', 'id', 'retry'];

/** Characters that show whether a line is a field: the longest name and its colon. */
const longestName = 6;

/** Whether a line with this beginning is a field with its colon, or a comment. */
const isField = (start: string): boolean =>
  start.startsWith(':') || fieldNames.some((name) => start.startsWith(`${name}:`));

/** The most characters of a line that is no field. It is scanned again with each packet that adds to it. */
const maxStrayChars = 16 * 1024;

/** No field has such a name, or the value is JSON: something before it was lost. */
const isStray = (name: string, value: string): boolean =>
  !/^[\w-]*$/.test(name) || /^\s*[{[]/.test(value);

const none = new Uint8Array(0);

const replacement = '\uFFFD';

/** True for ASCII, which nearly every packet ends with. */
const endsInCharacter = (bytes: Uint8Array): boolean => (bytes[bytes.length - 1] ?? 0) < 0x80;

/** The last bytes if they are an incomplete character; empty if they are complete, or not UTF-8. */
function openCharacter(bytes: Uint8Array): Uint8Array {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const lead = bytes[bytes.length - length] ?? 0;
    if (lead < 0x80 || lead >= 0xf8) return none;
    if (lead < 0xc0) continue;
    const needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    return needed > length ? bytes.slice(bytes.length - length) : none;
  }
  return none;
}

function isLongerThan(text: string, bytes: number): boolean {
  if (text.length * MAX_BYTES_PER_UNIT <= bytes) return false;
  return text.length > bytes || Buffer.byteLength(text) > bytes;
}
