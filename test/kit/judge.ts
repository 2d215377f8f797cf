import { expect } from 'vitest';
import { inTime } from './client.ts';
import type { Head, SseEvent, Stream } from './client.ts';

/* What a reader may be shown, whatever happened: the promise of this project, as checks. */

type Chunk = {
  error?: { message: string; code: string | null };
  choices?: { delta?: { role?: string; content?: string }; finish_reason?: string | null }[];
};

export type PlainAnswer = {
  head: Head;
  text: string;
  /** `whole`: finish_reason and `[DONE]`. `error`: one clear error instead. */
  end: 'whole' | 'error';
  error: { message: string; code: string | null } | undefined;
};

/**
 * Reads a plain stream to its end. Throws unless it is a whole answer or one clear error, with ids
 * that rise, one role, one finish_reason and nothing after the end.
 */
export async function readPlain(stream: Stream): Promise<PlainAnswer> {
  const how = await inTime(stream.ended, () => `a plain stream hangs: ${stream.raw.slice(-300)}`);
  const head = await stream.head;
  if (!String(head.headers['content-type']).includes('text/event-stream')) {
    const { error } = JSON.parse(stream.raw) as Chunk;
    expect(head.status).toBeGreaterThanOrEqual(400);
    expect(error).toMatchObject({ message: expect.any(String) });
    return { head, text: '', end: 'error', error };
  }
  expect(how, 'the response has its proper end').toBe('complete');
  const done = stream.events.filter(({ data }) => data === '[DONE]').length;
  const chunks = stream.events
    .filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => JSON.parse(data) as Chunk);
  const errors = chunks.flatMap(({ error }) => (error ? [error] : []));
  const choices = chunks.flatMap((chunk) => chunk.choices ?? []);
  const finishes = choices.filter(({ finish_reason: reason }) => reason != null).length;
  expect(choices.filter(({ delta }) => delta?.role !== undefined).length).toBeLessThanOrEqual(1);
  expectRisingIds(stream.events);
  const text = choices.map(({ delta }) => delta?.content ?? '').join('');
  if (errors.length > 0) {
    expect({ errors: errors.length, done }).toEqual({ errors: 1, done: 0 });
    expect(JSON.parse(stream.events.at(-1)?.data ?? '{}')).toHaveProperty('error');
    return { head, text, end: 'error', error: errors[0] };
  }
  expect({ done, finishes }, 'a stream without an error is complete').toEqual({
    done: 1,
    finishes: 1,
  });
  expect(stream.events.at(-1)?.data).toBe('[DONE]');
  return { head, text, end: 'whole', error: undefined };
}

/** As `readPlain`, and the answer is whole and the expected one. */
export async function expectWhole(stream: Stream, text: string): Promise<PlainAnswer> {
  const answer = await readPlain(stream);
  expect({ end: answer.end, error: answer.error }).toEqual({ end: 'whole', error: undefined });
  expect(answer.text).toBe(text);
  return answer;
}

/** As `readPlain`: the expected answer whole, or a true beginning of it and one clear error. */
export async function expectWholeOrError(stream: Stream, text: string): Promise<PlainAnswer> {
  const answer = await readPlain(stream);
  if (answer.end === 'whole') expect(answer.text).toBe(text);
  else expect(text.startsWith(answer.text), 'what was shown is true').toBe(true);
  return answer;
}

export type Story = {
  /** The text that stands at the end: after the last `reset`. */
  text: string;
  /** The text that each `reset` took back. */
  takenBack: string[];
  attempts: { run: number; attempt: number; mode: string; provider: string }[];
  end: 'done' | 'failed' | 'cancelled';
  /** Of the terminal event. */
  data: { status: string; error?: { code: string | null; message: string } };
};

const terminal = ['done', 'failed', 'cancelled'];

/** What a job's events tell. Throws unless ids rise and exactly one terminal event is the last. */
export function readStory(events: readonly SseEvent[]): Story {
  expectRisingIds(events);
  const ends = events.filter(({ event }) => terminal.includes(event));
  expect(ends.map(({ event }) => event)).toHaveLength(1);
  const last = events.at(-1);
  expect(terminal).toContain(last?.event);
  const takenBack: string[] = [];
  const attempts: Story['attempts'] = [];
  let text = '';
  for (const { event, data } of events) {
    if (event === 'attempt') attempts.push(JSON.parse(data) as Story['attempts'][number]);
    if (event === 'chunk') text += contentOf(data);
    if (event === 'reset') {
      takenBack.push(text);
      text = '';
    }
  }
  return {
    text,
    takenBack,
    attempts,
    end: last?.event as Story['end'],
    data: JSON.parse(last?.data ?? '{}') as Story['data'],
  };
}

/** The visible text of one chunk. */
export function contentOf(data: string): string {
  const { choices = [] } = JSON.parse(data) as Chunk;
  return choices.map(({ delta }) => delta?.content ?? '').join('');
}

/** The entry ids that the events carry, in their order. */
export const idsOf = (events: readonly SseEvent[]): string[] =>
  events.flatMap(({ id }) => (id === undefined ? [] : [id]));

export function expectRisingIds(events: readonly SseEvent[]): void {
  const ids = idsOf(events).map((id) => id.split('-').map(Number) as [number, number]);
  for (const [at, id] of ids.entries()) {
    const before = ids[at - 1];
    if (!before) continue;
    const rises = id[0] > before[0] || (id[0] === before[0] && id[1] > before[1]);
    expect(rises, `${id.join('-')} after ${before.join('-')}`).toBe(true);
  }
}

/** Enough came that the answer is in its middle. */
export const chunks =
  (count: number) =>
  ({ events }: Stream): boolean =>
    events.filter(({ event }) => event === 'message' || event === 'chunk').length >= count;
