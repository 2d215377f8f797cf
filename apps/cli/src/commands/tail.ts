import { setTimeout as sleep } from 'node:timers/promises';
import type { EventSourceMessage } from 'eventsource-parser';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { refuseUnless, Refused, Unreachable } from '../http/ingress.ts';
import type { Ingress } from '../http/ingress.ts';
import { CommandFailed } from '../io.ts';
import type { Io } from '../io.ts';
import { codeOf, describeEvent, readData, textOf } from './tail-events.ts';
import type { TailEvent } from './tail-events.ts';

export type TailOptions = {
  json?: true;
  /** An entry id. */
  after?: string;
  /** Milliseconds for which no ingress may answer. */
  patience: number;
};

/** Milliseconds before the first new try to read on; doubled with every try in a row. */
const firstRetryMs = 100;
const longestRetryMs = 2000;
/** Milliseconds after which an answer without an entry was no failure. */
const steadyMs = 2000;

type Position = {
  cursor: string | undefined;
  /** The place of the ingress that is asked next. */
  from: number;
  /** Whether standard output is at the start of a line. */
  isAtLineStart: boolean;
};

/** `tail ID`: follows a request from its start, over lost connections and ingresses that end, to its terminal event. */
export async function tail(
  ingress: Ingress,
  io: Io,
  id: string,
  options: TailOptions,
): Promise<void> {
  const position: Position = { cursor: options.after, from: 0, isAtLineStart: true };
  /** When the request was last read. */
  let readAt = performance.now();
  for (let tries = 0; ; tries += 1) {
    const before = position.cursor;
    let openedAt = Infinity;
    let failure = new CommandFailed(`the events of ${id} break off again and again`);
    try {
      const response = await openEvents(ingress, id, position);
      openedAt = performance.now();
      const end = await readEvents(response, { io, options, position });
      if (end) return finish(end, io, position);
    } catch (error) {
      if (!mayPass(error)) throw error;
      failure = error;
    }
    const now = performance.now();
    // An answer without an entry is an answer only if it lasted: a request may wait in the queue for long.
    if (position.cursor !== before || now - openedAt > steadyMs) {
      readAt = now;
      tries = 0;
    } else if (now - readAt > options.patience) {
      endLine(io, position);
      throw failure;
    }
    // An ingress that stops ends its answers; the next one goes on.
    position.from += 1;
    await sleep(Math.min(firstRetryMs * 2 ** tries, longestRetryMs), undefined, {
      signal: io.signal,
    });
  }
}

/** `ended`: the request has ended, and the reader has all of it. */
type End = TailEvent | { event: 'ended' };

/** Whether another try, or another ingress, may help. */
export const mayPass = (error: unknown): error is Unreachable | Refused =>
  error instanceof Unreachable ||
  (error instanceof Refused && (error.status === 429 || error.status >= 500));

async function openEvents({ open }: Ingress, id: string, { cursor, from }: Position) {
  const response = await open(`/v1/jobs/${encodeURIComponent(id)}/events`, {
    asClient: true,
    from,
    headers: {
      accept: 'text/event-stream',
      ...(cursor !== undefined && { 'last-event-id': cursor }),
    },
  });
  await refuseUnless(response);
  return response;
}

/** Resolves with the last event; undefined if the connection ended before it. */
async function readEvents(
  response: Response,
  context: { io: Io; options: TailOptions; position: Position },
): Promise<End | undefined> {
  if (response.status === 204) return { event: 'ended' };
  const { io, position } = context;
  for await (const { event = 'message', id, data } of eventsOf(response, io.signal)) {
    const one: TailEvent = { event, id, data };
    show(one, context);
    if (id !== undefined) position.cursor = id;
    if (isLast(one)) return one;
    if (event === 'moved' || event === 'error') return undefined;
  }
  return undefined;
}

/** The events of an answer until it ends or the connection breaks. */
export async function* eventsOf(
  { body }: Response,
  signal: AbortSignal,
): AsyncGenerator<EventSourceMessage, void> {
  const events = (body ?? new ReadableStream<never>())
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  try {
    yield* events;
  } catch (error) {
    if (signal.aborted) throw error;
  }
}

/** No ingress can read a lost stream any further. */
const isLast = ({ event, data }: TailEvent): boolean =>
  event === 'done' ||
  event === 'failed' ||
  event === 'cancelled' ||
  (event === 'error' && codeOf(data) === 'stream_lost');

function show(
  one: TailEvent,
  { io, options, position }: { io: Io; options: TailOptions; position: Position },
): void {
  if (options.json) {
    const { event, id, data } = one;
    return io.out(`${JSON.stringify({ event, id, data: readData(data) })}\n`);
  }
  const text = one.event === 'chunk' ? textOf(one.data) : '';
  if (text !== '') {
    io.out(text);
    position.isAtLineStart = text.endsWith('\n');
  }
  if (one.event === 'chunk') return;
  // The text before a reset is void; standard output cannot take it back.
  if (one.event === 'reset') endLine(io, position);
  io.err(`${describeEvent(one)}\n`);
}

function endLine(io: Io, position: Position): void {
  if (!position.isAtLineStart) io.out('\n');
  position.isAtLineStart = true;
}

function finish(end: End, io: Io, position: Position): void {
  endLine(io, position);
  // The event itself has been shown.
  if (end.event !== 'done' && end.event !== 'ended') throw new CommandFailed('');
}
