import { expect } from 'vitest';
import type { SseEvent, Stream } from './client.ts';
import type { Head } from './exchange.ts';
import { inTime } from './patience.ts';
import { fallingId, isTerminal, readAnswer, storyOf, textOf } from './reading.ts';
import type { ApiError } from './reading.ts';

/* Checks the promise of this project: what a reader may receive, whatever happened. */

export type PlainAnswer = {
  head: Head;
  text: string;
  /** `whole`: finish_reason and `[DONE]`. `error`: one clear error instead of them. */
  end: 'whole' | 'error';
  error: ApiError | undefined;
};

/**
 * Reads a plain stream to its end. Throws unless it is a complete answer or one clear error, with ids that
 * rise, one role, one finish_reason and nothing after the end.
 */
export async function readPlain(stream: Stream): Promise<PlainAnswer> {
  const ended = await inTime(
    stream.ended,
    () => `a plain stream hangs: ${stream.text.slice(-300)}`,
  );
  const { end, why, oddities, status, text, error } = readAnswer(ended);
  expect({ why, oddities }, 'a whole answer, or one clear error').toEqual({
    why: '',
    oddities: [],
  });
  const isStream = String(ended.headers['content-type']).includes('text/event-stream');
  if (!isStream) expect(end, 'what is no stream is an error').toBe('error');
  expectRisingIds(ended.events);
  return { head: { status, headers: ended.headers }, text, end: end as PlainAnswer['end'], error };
}

/** As `readPlain`; the answer must be complete and the expected one. */
export async function expectWhole(stream: Stream, text: string): Promise<PlainAnswer> {
  const answer = await readPlain(stream);
  expect({ end: answer.end, error: answer.error }).toEqual({ end: 'whole', error: undefined });
  expect(answer.text).toBe(text);
  return answer;
}

/** As `readPlain`: the complete expected answer, or a correct beginning of it and one clear error. */
export async function expectWholeOrError(stream: Stream, text: string): Promise<PlainAnswer> {
  const answer = await readPlain(stream);
  if (answer.end === 'whole') expect(answer.text).toBe(text);
  else expect(text.startsWith(answer.text), 'what was shown is true').toBe(true);
  return answer;
}

export type Story = {
  /** The final text: after the last `reset`. */
  text: string;
  /** The text that each `reset` took back. */
  takenBack: string[];
  attempts: { run: number; attempt: number; mode: string; provider: string }[];
  end: 'done' | 'failed' | 'cancelled';
  /** The data of the terminal event. */
  data: { status: string; error?: { code: string | null; message: string } };
};

/** Reads a job's events. Throws unless ids rise and exactly one terminal event is the last. */
export function readStory(events: readonly SseEvent[]): Story {
  expectRisingIds(events);
  const { text, takenBack, ends } = storyOf(events);
  expect(ends.map(({ event }) => event)).toHaveLength(1);
  const last = events.at(-1);
  expect(isTerminal(last?.event ?? ''), `${last?.event} is the end`).toBe(true);
  const attempts = events
    .filter(({ event }) => event === 'attempt')
    .map(({ data }) => JSON.parse(data) as Story['attempts'][number]);
  return {
    text,
    takenBack,
    attempts,
    end: last?.event as Story['end'],
    data: JSON.parse(last?.data ?? '{}') as Story['data'],
  };
}

/** The visible text of one chunk. */
export const contentOf = textOf;

/** The entry ids that the events carry, in their order. */
export const idsOf = (events: readonly SseEvent[]): string[] =>
  events.flatMap(({ id }) => (id === undefined ? [] : [id]));

export function expectRisingIds(events: readonly SseEvent[]): void {
  expect(fallingId(events), 'entry ids rise').toBeUndefined();
}

/** Whether `count` events have arrived, so that the answer is in its middle. */
export const chunks =
  (count: number) =>
  ({ events }: Stream): boolean =>
    events.filter(({ event }) => event === 'message' || event === 'chunk').length >= count;
