import { createParser } from 'eventsource-parser';

/** The data that a client of a simulated provider received, however it ended. */
export interface Received {
  readonly status: number;
  readonly headers: Headers;
  /** The body as text, as far as it arrived. */
  readonly raw: string;
  readonly events: readonly { event: string | undefined; data: string }[];
  /** The text of choice 0. */
  readonly text: string;
  readonly finish: string | undefined;
  readonly terminated: boolean;
  /** The connection broke before the body's end. */
  readonly broken: boolean;
}

export interface Delta {
  readonly role?: string;
  readonly content?: string | null;
  readonly refusal?: string | null;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly {
    readonly index: number;
    readonly id?: string;
    readonly function: { readonly name?: string; readonly arguments: string };
  }[];
}

export interface Chunk {
  readonly id: string;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Delta;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: Readonly<Record<string, unknown>> | null;
  readonly error?: unknown;
}

/** Sends one request; rejects if no response head arrives. */
export function post(
  url: string,
  body: Readonly<Record<string, unknown>>,
  init: { signal?: AbortSignal; headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...init.headers },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'hello' }], ...body }),
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
}

/** Requests a stream and reads it to its end, with a parser that is independent of the product's. */
export async function ask(
  url: string,
  model: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Received> {
  const response = await post(url, { model, stream: true, ...more });
  const { raw, broken } = await readAll(response);
  const events = eventsOf(raw);
  const chunks = chunksOf(events);
  const choices = chunks.flatMap((chunk) => chunk.choices.filter(({ index }) => index === 0));
  return {
    status: response.status,
    headers: response.headers,
    raw,
    events,
    text: choices.map(({ delta }) => delta.content ?? '').join(''),
    finish: choices.find((choice) => choice.finish_reason !== null)?.finish_reason ?? undefined,
    terminated: events.at(-1)?.data === '[DONE]',
    broken,
  };
}

/** Reads a body as far as it arrives. */
export async function readAll({ body }: Response): Promise<{ raw: string; broken: boolean }> {
  let raw = '';
  try {
    for await (const text of body?.pipeThrough(new TextDecoderStream()) ?? []) raw += text;
  } catch {
    return { raw, broken: true };
  }
  return { raw, broken: false };
}

export function eventsOf(raw: string): { event: string | undefined; data: string }[] {
  const events: { event: string | undefined; data: string }[] = [];
  const parser = createParser({ onEvent: ({ event, data }) => events.push({ event, data }) });
  parser.feed(raw);
  // A lone CR at the very end may be half of a CRLF; only the end of the stream decides.
  if (raw.endsWith('\r')) parser.reset({ consume: true });
  return events;
}

/** The events that are chunks of the answer; malformed ones and errors are left out. */
export function chunksOf(events: readonly { data: string }[]): Chunk[] {
  return events.flatMap(({ data }) => {
    try {
      const chunk: Chunk = JSON.parse(data);
      return Array.isArray(chunk.choices) ? [chunk] : [];
    } catch {
      return [];
    }
  });
}
