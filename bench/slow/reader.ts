import { createHash } from 'node:crypto';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';

/** One reader of a stream over SSE, that can stop to read and go on. */
export interface Reader {
  /** Takes no byte from the socket until `resume`. */
  pause(): void;
  resume(): void;
  leave(): void;
  /** Resolves at the end of the response: what was read, or what was wrong. */
  readonly ended: Promise<ReadResult>;
  /** Bytes so far. */
  readonly bytes: number;
}

/** `digest`: of every event with an entry id, so that two readers of one stream can be compared. */
export interface ReadResult {
  complete: boolean;
  events: number;
  digest: string;
}

export interface ReaderOptions {
  url: string;
  body?: object;
  /** Milliseconds since the event before. */
  onGap?(ms: number): void;
}

/** Resolves with the response head. */
export async function openReader({ url, body, onGap }: ReaderOptions): Promise<Reader> {
  const outgoing = request(url, {
    agent: false,
    method: body ? 'POST' : 'GET',
    headers: body ? { 'content-type': 'application/json', 'x-millrace-event-ids': 'on' } : {},
  });
  outgoing.end(body && JSON.stringify(body));
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  outgoing.on('error', () => {});
  if (response.statusCode !== 200) throw new Error(`${url} answers ${response.statusCode}`);
  const hash = createHash('sha1');
  let rest = '';
  let events = 0;
  let bytes = 0;
  let at = 0;

  function take(event: string): void {
    if (!/^id: /m.test(event)) return;
    events += 1;
    hash.update(event);
    const now = performance.now();
    if (events > 1) onGap?.(now - at);
    at = now;
  }

  response.setEncoding('utf8');
  response.on('data', (part: string) => {
    bytes += part.length;
    const parts = (rest + part).split('\n\n');
    rest = parts.pop() ?? '';
    for (const event of parts) take(event);
  });
  response.on('error', () => {});
  const ended = once(response, 'close').then(() => {
    return { complete: response.complete && rest === '', events, digest: hash.digest('hex') };
  });
  return {
    pause: () => response.pause(),
    resume: () => response.resume(),
    leave: () => outgoing.destroy(),
    ended,
    get bytes() {
      return bytes;
    },
  };
}

export async function createJob(origin: string, model: string): Promise<string> {
  const response = await fetch(`${origin}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ body: chat(model) }),
  });
  const { id } = (await response.json()) as { id?: string };
  if (id === undefined) throw new Error(`no job: ${response.status}`);
  return id;
}

export const chat = (model: string): object => {
  return { model, stream: true, messages: [{ role: 'user', content: 'Count, please.' }] };
};
