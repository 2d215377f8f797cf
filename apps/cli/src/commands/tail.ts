import { setTimeout as sleep } from 'node:timers/promises';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { refuseUnless, Refused, Unreachable } from '../http/ingress.ts';
import type { Ingress } from '../http/ingress.ts';
import { CommandFailed } from '../io.ts';
import type { Io } from '../io.ts';
import { describeEvent, textOf } from './tail-events.ts';
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
  let answeredAt = performance.now();
  for (let tries = 0; ; tries += 1) {
    try {
      const response = await openEvents(ingress, id, position);
      answeredAt = performance.now();
      tries = 0;
      const end = await readEvents(response, { io, options, position });
      if (end) return finish(end, io, position);
      // An ingress that stops ends its answers; the next one goes on.
      position.from += 1;
    } catch (error) {
      const mayPass =
        error instanceof Unreachable || (error instanceof Refused && isPassing(error));
      if (!mayPass || performance.now() - answeredAt > options.patience) throw error;
      position.from += 1;
    }
    await sleep(Math.min(firstRetryMs * 2 ** tries, longestRetryMs), undefined, {
      signal: io.signal,
    });
  }
}

/** `ended`: the request has ended, and the reader has all of it. */
type End = TailEvent | { event: 'ended' };

const isPassing = ({ status }: Refused): boolean => status === 429 || status >= 500;

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

/** Resolves with the terminal event; undefined if the connection ended before it. */
async function readEvents(
  response: Response,
  context: { io: Io; options: TailOptions; position: Position },
): Promise<End | undefined> {
  if (response.status === 204) return { event: 'ended' };
  const { io, position, options } = context;
  const events = (response.body ?? new ReadableStream<never>())
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  try {
    for await (const { event = 'message', id, data } of events) {
      const one: TailEvent = { event, id, data };
      if (id !== undefined) position.cursor = id;
      show(one, { io, options, position });
      if (isTerminal(event)) return one;
      if (event === 'moved' || event === 'error') return undefined;
    }
  } catch (error) {
    // The connection broke.
    if (io.signal.aborted) throw error;
  }
  return undefined;
}

const isTerminal = (event: string): boolean =>
  event === 'done' || event === 'failed' || event === 'cancelled';

function show(
  one: TailEvent,
  { io, options, position }: { io: Io; options: TailOptions; position: Position },
): void {
  if (options.json) {
    const { event, id, data } = one;
    return io.out(`${JSON.stringify({ event, id, data: JSON.parse(data) as unknown })}\n`);
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
  if (end.event === 'failed' || end.event === 'cancelled') throw new CommandFailed('');
}
