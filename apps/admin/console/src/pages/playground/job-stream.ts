import { createParser } from 'eventsource-parser';
import { ApiFailure } from '../../api/client.ts';
import { fetchV1 } from '../../api/models-api.ts';

/* A request as a job, read over SSE: its reader sees the attempts, and can lose its connection and read on. */

export type JobBody = {
  model: string;
  messages: readonly { role: string; content: string }[];
  max_tokens?: number;
  temperature?: number;
};

export type JobReader = {
  /** `data` is parsed JSON. `entry`: the event's id, from which the stream can be read on. */
  event(name: string, data: unknown, entry: string | undefined): void;
  /** The connection broke; the next one reads on behind the last event. */
  broken(): void;
};

/** Connections in a row without an event, after which the reader gives up. */
const maxTries = 12;
/** Milliseconds before the second of them; doubled up to `longestWaitMs`. */
const firstWaitMs = 150;
const longestWaitMs = 3000;
/** Milliseconds that the answer to a new job may take. */
const createMs = 30_000;
/** Milliseconds without a byte after which a connection counts as broken: the ingress sends a comment in that time. */
const silenceMs = 60_000;
/** Characters of one event. */
const maxEventLength = 16_777_216;

/**
 * Resolves with the id of the job. It cannot be aborted: a job may exist by then, and only its id can cancel it.
 * @throws ApiFailure
 */
export async function createJob(body: JobBody): Promise<string> {
  const signal = AbortSignal.timeout(createMs);
  const streamed = { ...body, stream: true, stream_options: { include_usage: true } };
  const create = () =>
    fetchV1('jobs', {
      method: 'POST',
      body: { endpoint: '/v1/chat/completions', body: streamed },
      // A repeated call gets the job of the first one.
      headers: { 'idempotency-key': idempotencyKey },
      signal,
    });
  const idempotencyKey = `console-${randomId()}`;
  const response = await create().catch(async (error: unknown) => {
    if (!(error instanceof ApiFailure) || error.code !== 'unreachable') throw error;
    await wait(firstWaitMs, signal);
    return create();
  });
  return ((await response.json()) as { id: string }).id;
}

/** Cancels the request for every reader. Also when the page is left. @throws ApiFailure */
export async function cancelJob(id: string): Promise<void> {
  await fetchV1(`jobs/${encodeURIComponent(id)}`, { method: 'DELETE', keepalive: true });
}

/** A connection that the page can cut by itself. */
export type Cutter = { cut(): void };

/**
 * Reads the events of a job to their end, over as many connections as it takes; those behind `after` if it is given.
 * @throws ApiFailure if the ingress refuses the reader or stays away; the abort's reason after `signal`
 */
export async function readJob(
  id: string,
  reader: JobReader,
  {
    signal,
    cutter,
    after: first,
  }: { signal: AbortSignal; cutter: Cutter; after?: string | undefined },
): Promise<void> {
  let after = first;
  for (let tries = 0; tries < maxTries; tries += 1) {
    if (tries > 0) await wait(Math.min(longestWaitMs, firstWaitMs * 2 ** (tries - 1)), signal);
    const connection = new AbortController();
    cutter.cut = () => connection.abort();
    const heard = { event: false };
    try {
      const isEnd = await readConnection(id, {
        after,
        signal: AbortSignal.any([signal, connection.signal]),
        connection,
        event(name, data, entry) {
          heard.event = true;
          after = entry ?? after;
          reader.event(name, data, entry);
        },
      });
      if (isEnd) return;
    } catch (error) {
      if (signal.aborted || (error instanceof ApiFailure && !mayPass(error))) throw error;
    } finally {
      connection.abort();
    }
    if (heard.event) tries = 0;
    reader.broken();
  }
  throw new ApiFailure(
    0,
    'unreachable',
    'The ingress does not answer: the stream cannot be read on.',
  );
}

/** Another try, or another ingress behind the same address, may serve the reader. */
const mayPass = ({ status, code }: ApiFailure): boolean =>
  code === 'unreachable' || status === 429 || status >= 500;

type Connection = {
  after: string | undefined;
  signal: AbortSignal;
  connection: AbortController;
  event(name: string, data: unknown, entry: string | undefined): void;
};

const terminal = new Set(['done', 'failed', 'cancelled']);

/** Resolves with whether the stream has ended; false or a rejection: the connection has. */
async function readConnection(id: string, options: Connection): Promise<boolean> {
  const { after, signal, connection, event } = options;
  const response = await fetchV1(`jobs/${encodeURIComponent(id)}/events`, {
    headers: {
      accept: 'text/event-stream',
      ...(after === undefined ? {} : { 'last-event-id': after }),
    },
    signal,
  });
  // The reader has everything.
  if (response.status === 204 || !response.body) return true;
  let isEnd = false;
  let isMoved = false;
  let failure: ApiFailure | undefined;
  const parser = createParser({
    maxBufferSize: maxEventLength,
    onEvent({ event: name = 'message', data: text, id: entry }) {
      const data: unknown = JSON.parse(text);
      if (name === 'moved') isMoved = true;
      else if (name === 'error') failure = failureIn(data);
      else event(name, data, entry);
      if (terminal.has(name)) isEnd = true;
    },
    onError(error) {
      if (error.type === 'max-buffer-size-exceeded') connection.abort();
    },
  });
  const source = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let silence: ReturnType<typeof setTimeout> | undefined;
  try {
    for (;;) {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(), silenceMs);
      const { done, value } = await source.read();
      if (done) return isEnd;
      parser.feed(value);
      if (failure && !mayPass(failure)) throw failure;
      if (isEnd || isMoved || failure) return isEnd;
    }
  } finally {
    clearTimeout(silence);
    void source.cancel().catch(() => {});
  }
}

/** The last event of a connection that the ingress ends, e.g. `reader_too_slow` or a key that was revoked. */
function failureIn(data: unknown): ApiFailure {
  const { error = {} } = data as { error?: { code?: string; message?: string } };
  const code = error.code ?? 'error';
  const status = code === 'reader_too_slow' || code.startsWith('server_') ? 503 : 400;
  return new ApiFailure(status, code, error.message ?? 'The stream ended with an error.');
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}

/** `crypto.randomUUID` is absent where the console is read without TLS from another machine. */
const randomId = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
