import { exchange } from './exchange.ts';
import type { Arrival, Exchange, SendOptions } from './exchange.ts';
import { inTime } from './patience.ts';
import { strictly } from './strict-event-stream.ts';

/* Readers of streams as the fault tests open them: their `ended` resolves also when there was no response. */

export type SseEvent = Omit<Arrival, 'at'>;
export type Stream = Exchange;

/** If an SDK could not read a plain stream, `ended` rejects, which fails the run. */
export const openStream = (url: string, options: SendOptions = {}): Stream =>
  exchange(url, options, strictly);

const chatBody = (model: string, more: Record<string, unknown>) => ({
  model,
  messages: [{ role: 'user', content: 'hello' }],
  ...more,
});

export type AskOptions = {
  /** More members of the request body; `user` marks it in the simulator's log. */
  body?: Record<string, unknown>;
  headers?: Record<string, string>;
  keepText?: boolean;
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
  options: SendOptions = {},
): Stream =>
  openStream(`${url}/v1/jobs/${id}/events${after === undefined ? '' : `?after=${after}`}`, options);

/** The events of a job to its end. */
export async function eventsOf(url: string, id: string, after?: string): Promise<SseEvent[]> {
  const stream = follow(url, id, after);
  await inTime(stream.ended, () => `${id} does not end: ${stream.text.slice(-300)}`);
  return untimed(stream.events);
}

/** The events without their times, which are the same for all readers. */
export const untimed = (events: readonly Arrival[]): SseEvent[] =>
  events.map(({ at: _, ...event }) => event);

/** The id of a plain reader's request. */
export async function requestId(stream: Stream): Promise<string> {
  const { headers } = await stream.head;
  return String(headers['x-request-id']);
}
