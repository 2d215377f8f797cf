import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { failRun, readerOf } from './strict-event-stream.ts';

export type Head = { status: number; headers: IncomingHttpHeaders };

/** A response to its end, however it ended. */
export type Answer = Head & {
  text: string;
  /** The connection broke before the body's end. */
  broken: boolean;
};

/** One request on a connection of its own, as it goes on. */
export type Call = {
  /** Rejects when the connection ends without one. */
  readonly head: Promise<Head>;
  readonly ended: Promise<Answer>;
  /** The body so far. */
  readonly text: string;
  /** The body so far, once it satisfies; rejects when it ends before. */
  until(satisfied: (text: string) => boolean): Promise<string>;
  /** Goes away at once; gives back the time, in milliseconds since the epoch. */
  cut(): number;
};

export type CallOptions = {
  /** POST with a body, else GET. */
  method?: string;
  headers?: OutgoingHttpHeaders;
  /** Texts and bytes are sent as they are, anything else as JSON. */
  body?: unknown;
  /** Sends the body in chunks, without its length. */
  chunked?: boolean;
};

/**
 * A client without opinions: no pool, no retries, no decoding but UTF-8. Only plain streams are read
 * strictly: one that an SDK would stumble over rejects `ended`, and fails the run.
 */
export function open(url: string | URL, options: CallOptions = {}): Call {
  const { body, headers = {}, method = body === undefined ? 'GET' : 'POST' } = options;
  const bytes = body === undefined ? undefined : toBytes(body);
  const request = httpRequest(url, {
    method,
    agent: false,
    headers: {
      ...(bytes === undefined ? {} : { 'content-type': 'application/json' }),
      ...(bytes === undefined || options.chunked ? {} : { 'content-length': bytes.length }),
      ...headers,
    },
  });
  const head = Promise.withResolvers<Head>();
  const ended = Promise.withResolvers<Answer>();
  const watchers = new Set<() => void>();
  let text = '';
  let over = false;
  // Whoever does not wait for one of them does not care how it went.
  head.promise.catch(() => {});
  ended.promise.catch(() => {});

  function fail(error: Error): void {
    over = true;
    head.reject(error);
    ended.reject(error);
    for (const wake of watchers) wake();
  }

  function receive(response: IncomingMessage): void {
    const { statusCode: status = 0, headers: received } = response;
    const strict = readerOf(
      { headers, body: Buffer.isBuffer(body) ? String(body) : body },
      response,
    );
    head.resolve({ status, headers: received });
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      text += part;
      strict?.push(part);
      for (const wake of watchers) wake();
    });
    response.on('error', () => {});
    response.on('close', () => {
      over = true;
      strict?.end(response.complete);
      if (strict?.fault) {
        failRun(strict.fault);
        ended.reject(strict.fault);
      }
      ended.resolve({ status, headers: received, text, broken: !response.complete });
      for (const wake of watchers) wake();
    });
  }

  request.on('response', receive);
  request.on('error', fail);
  request.end(bytes);
  if (options.chunked) request.flushHeaders();

  return {
    head: head.promise,
    ended: ended.promise,
    get text() {
      return text;
    },
    until(satisfied) {
      return new Promise((resolve, reject) => {
        const look = () => {
          if (satisfied(text)) resolve(text);
          else if (over) reject(new Error(`the response ended before: ${text.slice(-500)}`));
          else return;
          watchers.delete(look);
        };
        watchers.add(look);
        look();
      });
    },
    cut() {
      const at = Date.now();
      request.destroy();
      return at;
    },
  };
}

/** The whole response. Rejects when there was no head. */
export const call = (url: string | URL, options: CallOptions = {}): Promise<Answer> =>
  open(url, options).ended;

export type OpenAiError = {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
};

/** The error object of a JSON error response; throws when it is none. */
export function errorOf({ headers, text }: Answer): OpenAiError {
  if (!headers['content-type']?.startsWith('application/json')) {
    throw new Error(`no JSON: ${headers['content-type']} ${text.slice(0, 200)}`);
  }
  const { error } = JSON.parse(text) as { error?: OpenAiError };
  if (typeof error?.message !== 'string') throw new Error(`no error object: ${text.slice(0, 200)}`);
  return error;
}

export const jsonOf = ({ text }: Pick<Answer, 'text'>): unknown => JSON.parse(text);

function toBytes(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}
