import { createHash } from 'node:crypto';
import { send } from '../../test/kit/exchange.ts';

/** One SSE reader of a stream, which can pause and resume. */
export interface Reader {
  /** Reads nothing from the socket until `resume`. */
  pause(): void;
  resume(): void;
  /** Resolves at the end of the response, with what was read or what was wrong. */
  readonly ended: Promise<ReadResult>;
}

/** `digest`: over all events with an entry id, so that two readers of one stream can be compared. */
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

/** Resolves with the response head. Does not keep the data that it reads. */
export async function openReader({ url, body, onGap }: ReaderOptions): Promise<Reader> {
  const hash = createHash('sha1');
  let events = 0;
  let before = 0;
  const exchange = send(url, {
    ...(body && { body, headers: { 'x-millrace-event-ids': 'on' } }),
    keepText: false,
    keepEvents: false,
    onEvent({ at, event, id, data }) {
      if (id === undefined) return;
      events += 1;
      hash.update(JSON.stringify([event, id, data]));
      if (events > 1) onGap?.(at - before);
      before = at;
    },
  });
  const { status } = await exchange.head;
  if (status !== 200) throw new Error(`${url} answers ${status}`);
  return {
    pause: () => exchange.pause(),
    resume: () => exchange.resume(),
    ended: exchange.ended.then(({ how }) => {
      return { complete: how === 'complete', events, digest: hash.digest('hex') };
    }),
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
