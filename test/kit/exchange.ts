import { request as overHttp } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request as overHttps } from 'node:https';
import { createParser } from 'eventsource-parser';
import { exactTime } from '../../apps/simulator/src/clock.ts';
import { createPace } from './pace.ts';
import { inTime } from './patience.ts';
import { readerOf } from './strict-event-stream.ts';
import type { StrictReader } from './strict-event-stream.ts';

/*
 * The HTTP client of tests, bench and crashtest: a connection for each request, no retries, no decoding other
 * than UTF-8 and Server-Sent Events, and every event with its time.
 */

/** `at`: milliseconds since 1970 with their fraction, on the clock of the simulator's request log. */
export type Arrival = { at: number; event: string; id: string | undefined; data: string };

export type Head = { status: number; headers: IncomingHttpHeaders };

/** A response after its end, however it ended. */
export type Ended = Head & {
  /**
   * `complete`: the response had its proper end. `broken`: the connection was lost before it.
   * `refused`: there was no connection. `hang`: no end came within `patienceMs`, and the client left.
   */
  how: 'complete' | 'broken' | 'refused' | 'hang';
  /** The body; empty if it was not kept. */
  text: string;
  events: readonly Arrival[];
  /** Why there was no response; its status is 0 then. */
  error?: Error | undefined;
  /** Where an SDK could not read a plain stream of Millrace. */
  fault?: string | undefined;
  startedAt: number;
  endedAt: number;
};

/** One request in progress. */
export type Exchange = {
  /** Rejects if the connection ends without one. */
  readonly head: Promise<Head>;
  readonly ended: Promise<Ended>;
  /** Received so far. */
  readonly headers: IncomingHttpHeaders;
  readonly events: readonly Arrival[];
  readonly text: string;
  readonly bytes: number;
  /** Resolves with the text so far once the predicate holds; rejects if the response ends before, or hangs. */
  until(holds: (exchange: Exchange) => boolean): Promise<string>;
  /** Resolves as soon as `events` events have arrived, or the response has ended. */
  count(events: number): Promise<void>;
  /** Destroys the connection; returns the time, in milliseconds since 1970. */
  leave(): number;
  /** Reads nothing from the socket until `resume`. */
  pause(): void;
  resume(): void;
};

export type SendOptions = {
  /** POST with a body, else GET. */
  method?: string;
  headers?: OutgoingHttpHeaders;
  /** Texts and bytes are sent unchanged, anything else as JSON. */
  body?: unknown;
  /** Sends the body in chunks, without its length. */
  chunked?: boolean;
  /** @defaultValue true */
  keepText?: boolean;
  /** @defaultValue true */
  keepEvents?: boolean;
  onEvent?(event: Arrival): void;
  /** Reads at about this rate: a reader that is slow but steady. */
  bytesPerSecond?: number;
  /** Milliseconds to the end of the response. */
  patienceMs?: number;
  signal?: AbortSignal;
};

/** Its `ended` never rejects. */
export const send = (url: string | URL, options: SendOptions = {}): Exchange =>
  exchange(url, options, (ended) => ended);

/** `judge`: returns the value that `ended` resolves with, or throws its rejection. */
export function exchange(
  url: string | URL,
  options: SendOptions,
  judge: (ended: Ended) => Ended,
): Exchange {
  const { keepText = true, keepEvents = true, patienceMs, bytesPerSecond } = options;
  const startedAt = exactTime();
  const request = requestTo(url, options);
  const events: Arrival[] = [];
  const watchers = new Set<() => void>();
  const head = Promise.withResolvers<Head>();
  const end = Promise.withResolvers<Ended>();
  const ended = end.promise.then(judge);
  let received: Head = { status: 0, headers: {} };
  let response: IncomingMessage | undefined;
  let strict: StrictReader | undefined;
  let text = '';
  let bytes = 0;
  let isOver = false;
  let isPaused = false;
  // If a test waits for neither of them, the outcome does not matter to it.
  head.promise.catch(() => {});
  ended.catch(() => {});

  const late =
    patienceMs === undefined
      ? undefined
      : setTimeout(() => {
          settle('hang');
          request.destroy();
        }, patienceMs);

  function look(): void {
    for (const watcher of watchers) watcher();
  }

  function settle(how: Ended['how'], error?: Error): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(late);
    strict?.end(how === 'complete');
    head.reject(error ?? new Error(`no response: ${how}`));
    const fault = strict?.fault?.message;
    end.resolve({ ...received, how, text, events, error, fault, startedAt, endedAt: exactTime() });
    look();
  }

  const parser = createParser({
    onEvent({ event = 'message', id, data }) {
      const arrival = { at: exactTime(), event, id, data };
      if (keepEvents) events.push(arrival);
      options.onEvent?.(arrival);
    },
  });

  function receive(incoming: IncomingMessage): void {
    response = incoming;
    received = { status: incoming.statusCode ?? 0, headers: incoming.headers };
    const isStream = String(incoming.headers['content-type']).includes('text/event-stream');
    const { headers = {}, body } = options;
    strict = readerOf({ headers, body: Buffer.isBuffer(body) ? String(body) : body }, incoming);
    incoming.setEncoding('utf8');
    const keepPace =
      bytesPerSecond === undefined ? undefined : createPace(incoming, bytesPerSecond);
    incoming.on('data', (part: string) => {
      if (keepText) text += part;
      strict?.push(part);
      bytes += Buffer.byteLength(part);
      if (isStream) parser.feed(part);
      look();
      keepPace?.(Buffer.byteLength(part));
    });
    incoming.on('error', () => {});
    incoming.on('close', () => settle(incoming.complete ? 'complete' : 'broken'));
    if (isPaused) incoming.pause();
    head.resolve(received);
  }

  request.on('response', receive);
  request.on('error', (error: NodeJS.ErrnoException) =>
    settle(
      error.code === 'ECONNREFUSED' ? 'refused' : 'broken',
      response === undefined ? error : undefined,
    ),
  );

  /** Resolves once it holds; with `false` if the response ends before. */
  function watch(holds: () => boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const watcher = () => {
        let isThere: boolean;
        try {
          isThere = holds();
        } catch (error) {
          watchers.delete(watcher);
          reject(error);
          return;
        }
        if (!isThere && !isOver) return;
        watchers.delete(watcher);
        resolve(isThere);
      };
      watchers.add(watcher);
      watcher();
    });
  }

  const tail = () => (keepText ? text.slice(-500) : JSON.stringify(events.slice(-2)));
  const self: Exchange = {
    head: head.promise,
    ended,
    events,
    get headers() {
      return received.headers;
    },
    get text() {
      return text;
    },
    get bytes() {
      return bytes;
    },
    async until(holds) {
      const isThere = await inTime(
        watch(() => holds(self)),
        () => `not in time, behind ${events.length} events and ${tail()}`,
      );
      if (isThere) return text;
      await ended;
      throw new Error(`the response ended before, behind ${events.length} events and ${tail()}`);
    },
    async count(wanted) {
      await watch(() => events.length >= wanted);
    },
    leave() {
      const at = exactTime();
      request.destroy();
      return at;
    },
    pause() {
      isPaused = true;
      response?.pause();
    },
    resume() {
      isPaused = false;
      response?.resume();
    },
  };
  return self;
}

function requestTo(url: string | URL, { headers = {}, body, signal, ...options }: SendOptions) {
  const { method = body === undefined ? 'GET' : 'POST', chunked = false } = options;
  const target = new URL(url);
  const bytes = body === undefined ? undefined : toBytes(body);
  const request = (target.protocol === 'https:' ? overHttps : overHttp)(target, {
    method,
    agent: false,
    ...(signal && { signal }),
    headers: {
      ...(bytes && { 'content-type': 'application/json' }),
      ...(bytes && !chunked && { 'content-length': bytes.length }),
      ...headers,
    },
  });
  request.end(bytes);
  if (chunked) request.flushHeaders();
  return request;
}

function toBytes(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}
