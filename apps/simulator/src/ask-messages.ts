import { eventsOf, readAll } from './ask.ts';

/** An event of Anthropic's Messages: the fields that tests look at. */
export interface MessagesEvent {
  readonly type: string;
  readonly index?: number;
  readonly message?: Readonly<Record<string, unknown>>;
  readonly content_block?: { readonly type: string; readonly id?: string; readonly name?: string };
  readonly delta?: {
    readonly type?: string;
    readonly text?: string;
    readonly thinking?: string;
    readonly signature?: string;
    readonly partial_json?: string;
    readonly stop_reason?: string | null;
  };
  readonly usage?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly type: string; readonly message: string };
}

/** The data that a client received, however it ended; events with broken JSON are not in `parsed`. */
export interface ReceivedMessage {
  readonly status: number;
  readonly headers: Headers;
  readonly raw: string;
  readonly events: readonly { event: string | undefined; data: string }[];
  readonly parsed: readonly MessagesEvent[];
  readonly text: string;
  readonly stop: string | undefined;
  readonly terminated: boolean;
  readonly broken: boolean;
}

const VERSION = { 'anthropic-version': '2023-06-01' };

/** Sends one request; rejects if no response head arrives. */
export function postMessage(
  url: string,
  body: Readonly<Record<string, unknown>>,
  init: { signal?: AbortSignal; headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(init.headers ?? VERSION) },
    body: JSON.stringify({
      max_tokens: 1_000_000,
      messages: [{ role: 'user', content: 'hello' }],
      ...body,
    }),
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
}

/** Requests a stream and reads it to its end. */
export async function askMessage(
  url: string,
  model: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<ReceivedMessage> {
  const response = await postMessage(url, { model, stream: true, ...more });
  const { raw, broken } = await readAll(response);
  const events = eventsOf(raw);
  const parsed = events.flatMap(({ data }) => parsedEvent(data));
  const last = parsed.findLast(({ type }) => type === 'message_delta');
  return {
    status: response.status,
    headers: response.headers,
    raw,
    events,
    parsed,
    text: parsed.map(({ delta }) => delta?.text ?? '').join(''),
    stop: last?.delta?.stop_reason ?? undefined,
    terminated: events.at(-1)?.event === 'message_stop',
    broken,
  };
}

function parsedEvent(data: string): MessagesEvent[] {
  try {
    return [JSON.parse(data) as MessagesEvent];
  } catch {
    return [];
  }
}
