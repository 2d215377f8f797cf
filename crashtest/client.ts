import { request as overHttp } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { request as overHttps } from 'node:https';
import { createParser } from 'eventsource-parser';
import { readerOf } from '../test/kit/strict-event-stream.ts';
import type { StrictReader } from '../test/kit/strict-event-stream.ts';
import { exactTime } from '../apps/simulator/src/clock.ts';

/* A client without opinions: a connection for each request, no retries, every event with its time. */

export type Arrival = {
  /** Milliseconds since 1970, on the clock of the providers' request logs. */
  at: number;
  event: string;
  id: string | undefined;
  data: string;
};

export type Ended = {
  /**
   * `complete`: the response had its proper end. `broken`: the connection was lost before it.
   * `refused`: there was no connection. `hang`: no end came in time, and the client left.
   */
  how: 'complete' | 'broken' | 'refused' | 'hang';
  status: number;
  headers: IncomingHttpHeaders;
  /** The body, where it is no event stream. */
  body: string;
  /** Where an SDK would stumble over a plain stream of Millrace. */
  fault?: string | undefined;
  events: readonly Arrival[];
  startedAt: number;
  endedAt: number;
};

export type Exchange = {
  readonly events: readonly Arrival[];
  readonly headers: IncomingHttpHeaders;
  /** Never rejects. */
  readonly ended: Promise<Ended>;
  /** Resolves as soon as so many events have come, or the response has ended. */
  count(events: number): Promise<void>;
  /** Goes away at once; returns when. */
  leave(): number;
};

export type SendOptions = {
  method?: 'GET' | 'POST';
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  /** Milliseconds to the end of the response. */
  patienceMs: number;
  signal: AbortSignal;
};

export function send(url: string, options: SendOptions): Exchange {
  const { body, headers = {}, method = body === undefined ? 'GET' : 'POST' } = options;
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const length = bytes && { 'content-type': 'application/json', 'content-length': bytes.length };
  const request = (url.startsWith('https:') ? overHttps : overHttp)(url, {
    method,
    agent: false,
    headers: { ...length, ...headers },
    signal: options.signal,
  });
  const events: Arrival[] = [];
  const watchers = new Set<() => void>();
  const { promise: ended, resolve } = Promise.withResolvers<Ended>();
  const startedAt = exactTime();
  let status = 0;
  let received: IncomingHttpHeaders = {};
  let text = '';
  let isOver = false;
  let strict: StrictReader | undefined;
  const parser = createParser({
    onEvent: ({ event = 'message', id, data }) => events.push({ at: exactTime(), event, id, data }),
  });
  const late = setTimeout(() => {
    settle('hang');
    request.destroy();
  }, options.patienceMs);

  function settle(how: Ended['how']): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(late);
    const endedAt = exactTime();
    strict?.end(how === 'complete');
    const fault = strict?.fault?.message;
    resolve({ how, status, headers: received, body: text, fault, events, startedAt, endedAt });
    look();
  }

  function look(): void {
    for (const watcher of watchers) watcher();
  }

  request.on('response', (response) => {
    status = response.statusCode ?? 0;
    received = response.headers;
    const isStream = String(received['content-type']).includes('text/event-stream');
    strict = readerOf({ headers, body }, response);
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      strict?.push(part);
      if (isStream) parser.feed(part);
      else text += part;
      look();
    });
    response.on('error', () => {});
    response.on('close', () => settle(response.complete ? 'complete' : 'broken'));
  });
  request.on('error', (error: NodeJS.ErrnoException) =>
    settle(error.code === 'ECONNREFUSED' ? 'refused' : 'broken'),
  );
  request.end(bytes);

  return {
    events,
    get headers() {
      return received;
    },
    ended,
    count(wanted) {
      return new Promise((done) => {
        const watcher = () => {
          if (events.length < wanted && !isOver) return;
          watchers.delete(watcher);
          done();
        };
        watchers.add(watcher);
        watcher();
      });
    },
    leave() {
      const at = exactTime();
      request.destroy();
      return at;
    },
  };
}
