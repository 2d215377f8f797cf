import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { createParser } from 'eventsource-parser';
import { failRun, readerOf } from './strict-event-stream.ts';

/*
 * A client that sees everything: each request on a socket of its own, every event as it comes. A plain
 * stream that an SDK would stumble over rejects `ended`, and fails the run.
 */

export type SseEvent = { event: string; id: string | undefined; data: string };

export type Head = { status: number; headers: IncomingHttpHeaders };

export type Stream = {
  /** Resolves with the response head; rejects when none came. */
  readonly head: Promise<Head>;
  /** Everything that came so far. */
  readonly events: readonly SseEvent[];
  readonly raw: string;
  /** Bytes that came so far. */
  readonly bytes: number;
  /** Resolves as soon as the predicate holds; rejects when the response ends before, or in 15 s. */
  until(predicate: (stream: Stream) => boolean): Promise<void>;
  /** `complete`: the response had its proper end. `broken`: the connection was lost before it. */
  readonly ended: Promise<'complete' | 'broken'>;
  /** Destroys the socket; returns when, in milliseconds since 1970. */
  leave(): number;
  /** Takes no byte from the socket any more, until `resume`. */
  pause(): void;
  resume(): void;
};

export type StreamOptions = {
  method?: 'GET' | 'POST';
  body?: unknown;
  headers?: Record<string, string>;
  /** Keeps the text of the body; without it only events and bytes. */
  keepRaw?: boolean;
  /** Takes about so much: a reader that is slow but steady. */
  bytesPerSecond?: number;
};

/** How long a test waits for anything, in milliseconds. */
const patienceMs = 30_000;

export function openStream(url: string, options: StreamOptions = {}): Stream {
  const { method = 'GET', body, headers = {}, keepRaw = true, bytesPerSecond } = options;
  const events: SseEvent[] = [];
  const watchers = new Set<() => void>();
  let raw = '';
  let bytes = 0;
  let paused = false;
  const look = () => {
    for (const watcher of watchers) watcher();
  };
  const parser = createParser({
    onEvent: ({ event = 'message', id, data }) => events.push({ event, id, data }),
  });
  const { promise: head, ...headIs } = Promise.withResolvers<Head>();
  const { promise: ended, ...endIs } = Promise.withResolvers<'complete' | 'broken'>();
  head.catch(() => {});

  const text = body === undefined ? undefined : JSON.stringify(body);
  const type = text === undefined ? {} : { 'content-type': 'application/json' };
  const outgoing = request(url, { method, headers: { ...type, ...headers }, agent: false });
  outgoing.on('response', (response) => {
    headIs.resolve({ status: response.statusCode ?? 0, headers: response.headers });
    const strict = readerOf({ headers, body }, response);
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      if (keepRaw) raw += part;
      strict?.push(part);
      bytes += Buffer.byteLength(part);
      parser.feed(part);
      look();
      if (bytesPerSecond === undefined) return;
      response.pause();
      setTimeout(() => response.resume(), (part.length / bytesPerSecond) * 1000);
    });
    response.on('error', () => {});
    response.on('close', () => {
      strict?.end(response.complete);
      if (strict?.fault) {
        failRun(strict.fault);
        endIs.reject(strict.fault);
      }
      endIs.resolve(response.complete ? 'complete' : 'broken');
      look();
    });
    if (paused) response.pause();
    stream.pause = () => response.pause();
    stream.resume = () => response.resume();
  });
  outgoing.on('error', (error) => {
    headIs.reject(error);
    endIs.resolve('broken');
  });
  outgoing.end(text);

  const stream = {
    head,
    events,
    get raw() {
      return raw;
    },
    get bytes() {
      return bytes;
    },
    ended,
    async until(predicate: (stream: Stream) => boolean) {
      if (predicate(stream)) return;
      const { promise: holds, resolve } = Promise.withResolvers<void>();
      const watcher = () => {
        if (predicate(stream)) resolve();
      };
      watchers.add(watcher);
      const over = ended.then((how) => fail(`the response ended (${how}) before that: ${tail()}`));
      try {
        await inTime(Promise.race([holds, over]), () => `not in ${patienceMs} ms: ${tail()}`);
      } finally {
        watchers.delete(watcher);
        over.catch(() => {});
      }
    },
    leave() {
      const at = Date.now();
      outgoing.destroy();
      return at;
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
    },
  };
  const tail = () => `${events.length} events, the last ${JSON.stringify(events.slice(-2))}`;
  return stream;
}

function fail(message: string): never {
  throw new Error(message);
}

/** Rejects with the message when the promise has not settled in time. */
export async function inTime<T>(work: Promise<T>, message: () => string, ms = patienceMs) {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(message())), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const chatBody = (model: string, more: Record<string, unknown>) => ({
  model,
  messages: [{ role: 'user', content: 'hello' }],
  ...more,
});

export type AskOptions = {
  /** More members of the request body; `user` marks it in the simulator's log. */
  body?: Record<string, unknown>;
  headers?: Record<string, string>;
  keepRaw?: boolean;
};

/** A plain reader: POST /v1/chat/completions with `stream: true`. Its events have ids, so that their order can be judged. */
export const ask = (
  url: string,
  model: string,
  { body, headers, ...rest }: AskOptions = {},
): Stream =>
  openStream(`${url}/v1/chat/completions`, {
    method: 'POST',
    body: chatBody(model, { stream: true, ...body }),
    headers: { 'x-millrace-event-ids': 'on', ...headers },
    ...rest,
  });

/** The same without a stream. */
export const askWhole = (url: string, model: string, options: AskOptions = {}): Stream =>
  ask(url, model, { ...options, body: { ...options.body, stream: false } });

/** Creates a job that streams; returns its id. */
export async function createJob(
  url: string,
  model: string,
  body: Record<string, unknown> = {},
): Promise<string> {
  const response = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ body: chatBody(model, { stream: true, ...body }) }),
  });
  const answer = (await response.json()) as { id?: string };
  if (response.status !== 202 || answer.id === undefined) {
    throw new Error(`no job: ${response.status} ${JSON.stringify(answer)}`);
  }
  return answer.id;
}

export type JobView = {
  id: string;
  status: string;
  queue_position?: number;
  attempts: {
    run: number;
    attempt: number;
    provider: string;
    outcome: string;
    usage?: { completion_tokens: number };
    estimated?: boolean;
  }[];
  result?: { choices: { message: { content: string } }[] };
  error?: { code: string | null; message: string };
};

export async function getJob(url: string, id: string): Promise<JobView> {
  const response = await fetch(`${url}/v1/jobs/${id}`);
  return (await response.json()) as JobView;
}

export async function cancelJob(url: string, id: string): Promise<{ status: string }> {
  const response = await fetch(`${url}/v1/jobs/${id}`, { method: 'DELETE' });
  if (response.status !== 200) throw new Error(`DELETE: ${response.status}`);
  return (await response.json()) as { status: string };
}

/** A native reader, from the start or after an entry. */
export const follow = (
  url: string,
  id: string,
  after?: string,
  options: StreamOptions = {},
): Stream =>
  openStream(`${url}/v1/jobs/${id}/events${after === undefined ? '' : `?after=${after}`}`, options);

/** The events of a job to its end. */
export async function eventsOf(url: string, id: string, after?: string): Promise<SseEvent[]> {
  const stream = follow(url, id, after);
  await inTime(stream.ended, () => `${id} does not end: ${stream.raw.slice(-300)}`);
  return [...stream.events];
}

/** The id of the request that a plain reader made. */
export async function requestId(stream: Stream): Promise<string> {
  const { headers } = await stream.head;
  return String(headers['x-request-id']);
}
