import { createParser } from 'eventsource-parser';

/** One Server-Sent Event as an SSE client sees it; an event that was cut off does not count. */
export type SseEvent = { event?: string | undefined; id?: string | undefined; data: string };

export function eventsOf(text: string): SseEvent[] {
  const events: SseEvent[] = [];
  const parser = createParser({
    onEvent: ({ event, id, data }) => events.push({ event, id, data }),
  });
  parser.feed(text);
  return events;
}

/** The events with an entry id: the same for every reader at every time. */
export const keptEvents = (text: string): SseEvent[] =>
  eventsOf(text).filter(({ id }) => id !== undefined);

type Delta = {
  role?: string;
  content?: string | null;
  refusal?: string | null;
  reasoning_content?: string;
};

export type Chunk = {
  id: string;
  created: number;
  model: string;
  choices: { index: number; delta: Delta; finish_reason: string | null }[];
  usage?: { completion_tokens: number } | null;
};

/** The chunks of a plain stream or of a job's; terminal and other events are left out. */
export function chunksOf(events: readonly SseEvent[]): Chunk[] {
  return events
    .filter(({ event, data }) => (event ?? 'chunk') === 'chunk' && data.startsWith('{'))
    .map(({ data }) => JSON.parse(data) as Chunk)
    .filter(({ choices }) => Array.isArray(choices));
}

/** The joined content of one choice. */
export const contentOf = (events: readonly SseEvent[], choice = 0): string =>
  chunksOf(events)
    .flatMap(({ choices }) => choices)
    .filter(({ index }) => index === choice)
    .map(({ delta }) => delta.content ?? '')
    .join('');

export const isTerminated = (events: readonly SseEvent[]): boolean =>
  events.at(-1)?.data === '[DONE]';
