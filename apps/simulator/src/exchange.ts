import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import type { Options } from './keys.ts';
import type { OpenRequest, RequestLog } from './request-log.ts';
import type { Frame, Reply } from './steps.ts';

const EVENT_STREAM = 'text/event-stream; charset=utf-8';

const EOL = { lf: '\n', crlf: '\r\n', cr: '\r' } as const;

/** One event on the wire, with the requested line ends and deviations. */
export function frameText({ event, data }: Frame, options: Options): string {
  const eol = EOL[options.eol];
  const space = options.nospace === 1 ? '' : ' ';
  const comment = options.comments === 1 ? `: keep-alive${eol}${eol}` : '';
  const name = event === undefined ? '' : `event:${space}${event}${eol}`;
  return `${comment}${name}data:${space}${data}${eol}${eol}`;
}

export function commentText(text: string, options: Options): string {
  const eol = EOL[options.eol];
  return `: ${text}${eol}${eol}`;
}

/** One request's connection: writes, ends or breaks it, and updates its log entry. */
export class Exchange {
  readonly response: ServerResponse;
  readonly entry: OpenRequest;
  /** The request id in the response, in the usual header of the format. */
  readonly requestId: string;
  readonly #log: RequestLog;
  readonly #common: Readonly<Record<string, string>>;
  #gone: AbortController | undefined;
  #isStalled = false;

  /** `common` are the headers of every response. */
  constructor(
    response: ServerResponse,
    entry: OpenRequest,
    log: RequestLog,
    requestIdHeader: string,
    common: Readonly<Record<string, string>>,
  ) {
    this.response = response;
    this.entry = entry;
    this.#log = log;
    this.requestId = `req_sim_${entry.number}`;
    this.#common = { ...common, [requestIdHeader]: this.requestId };
    response.once('finish', () => log.end(entry, 'finished'));
    // On the response, not the request: the request closes as soon as its body has been read.
    response.once('close', () => {
      log.end(entry, 'aborted by client');
      this.#gone?.abort();
    });
  }

  /** Aborts when the connection has ended, whichever side ended it. */
  get gone(): AbortSignal {
    this.#gone ??= new AbortController();
    if (this.response.closed) this.#gone.abort();
    return this.#gone.signal;
  }

  get isOpen(): boolean {
    return !this.response.destroyed && !this.#isStalled && this.entry.state === 'open';
  }

  head(
    status = 200,
    contentType = EVENT_STREAM,
    extra: Readonly<Record<string, string>> = {},
  ): void {
    if (this.response.headersSent) return;
    this.entry.status = status;
    this.response.writeHead(status, {
      'content-type': contentType,
      ...this.#common,
      ...(contentType === EVENT_STREAM ? { 'cache-control': 'no-cache' } : {}),
      ...extra,
    });
  }

  /** Sends the head of an event stream, without waiting for its first event. */
  flushHead(contentType?: string): void {
    this.head(200, contentType);
    this.response.flushHeaders();
  }

  reply({ status, contentType, body, headers }: Reply): void {
    const bytes = Buffer.from(body);
    this.head(status, contentType, {
      'content-length': String(bytes.length),
      ...headers,
    });
    this.response.end(bytes);
  }

  countTokens(count: number): void {
    if (count > 0 && this.entry.state === 'open') this.#log.token(this.entry, count);
  }

  /** Writes, in packets of `packet` bytes unless that is 0; waits while the reader is slow. */
  async write(bytes: string | Buffer, packet = 0): Promise<void> {
    if (packet === 0) return this.#writeOne(bytes);
    const all = Buffer.from(bytes);
    for (let from = 0; from < all.length && this.isOpen; from += packet) {
      await this.#writeOne(all.subarray(from, from + packet));
      // A new turn of the event loop makes a new packet.
      await setImmediate();
    }
  }

  async #writeOne(bytes: string | Buffer): Promise<void> {
    if (bytes.length === 0 || !this.isOpen || this.response.write(bytes)) return;
    await once(this.response, 'drain', { signal: this.gone }).catch(() => undefined);
  }

  /** Sends nothing more; the connection stays open until the client closes it. */
  stall(): void {
    this.#isStalled = true;
  }

  /** Breaks the connection at once, whatever waits to be sent. */
  breakOff(): void {
    this.#log.end(this.entry, 'cut by simulator');
    this.response.socket?.destroy();
  }

  /** Breaks the connection, after everything that was written has left this process. */
  async cut(how: Options['how']): Promise<void> {
    // The response passes its chunks to the socket at the end of this turn of the event loop.
    await setImmediate();
    const { socket } = this.response;
    if (socket === null || !this.isOpen) return;
    if (socket.writableLength > 0) {
      await new Promise<void>((resolve) => socket.write('', () => resolve()));
    }
    this.#log.end(this.entry, 'cut by simulator');
    if (how === 'reset') socket.resetAndDestroy();
    else socket.destroy();
  }
}
