import {
  compareEntryIds,
  decodeEntry,
  formatEntryId,
  logStart,
} from '@millrace/shared/domain/entry';
import type { EntryId, Line } from '@millrace/shared/domain/entry';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { singleLine } from '@millrace/shared/domain/json-text';
import { factsOfAnswer } from '../answer-facts.ts';
import { clientApiOf } from '../client-apis.ts';
import { completedAt } from '../progress.ts';
import type { QueuePosition } from '../../delivery/queue-position.ts';

/** An event of the job API: its name, its entry id if it has one, and its data as JSON text. */
export type JobEvent = { event: string; entry?: string; data: string };

/**
 * The range of milliseconds after which an EventSource reconnects: random, so that they do not all reconnect
 * at once.
 */
const retryMs = [200, 400] as const;

/** Sent to a native reader before the first event. The default of an EventSource is some seconds. */
export function sseRetry(): string {
  const [from, to] = retryMs;
  return `retry: ${Math.round(from + Math.random() * (to - from))}\n`;
}

export const sseEvent = ({ event, entry, data }: JobEvent): string =>
  entry === undefined
    ? `event: ${event}\ndata: ${data}\n\n`
    : `event: ${event}\nid: ${entry}\ndata: ${data}\n\n`;

export const socketEvent = (id: string, { event, entry, data }: JobEvent): string =>
  entry === undefined
    ? `{"type":"${event}","id":"${id}","data":${data}}`
    : `{"type":"${event}","id":"${id}","entry":"${entry}","data":${data}}`;

/** For a reader whose cursor is beyond the end of the log. */
export const resetEvent = (reason: string): JobEvent => ({
  event: 'reset',
  data: JSON.stringify({ reason }),
});

/** Sent in a drain: the reader's cursor is valid at every other ingress. */
export const movedEvent = (id: string): JobEvent => ({
  event: 'moved',
  data: JSON.stringify({ reason: 'server_draining', events_url: `/v1/jobs/${id}/events` }),
});

export const queuedEvent = ({ position, waitMs }: QueuePosition): JobEvent => ({
  event: 'queued',
  data: JSON.stringify({ position, estimated_wait_ms: waitMs }),
});

/** Without an entry id: the answer to a `cancel` of a request that its sender does not read. */
export const cancelledEvent: JobEvent = { event: 'cancelled', data: '{"status":"cancelled"}' };

/** Makes the events of a request's lines, in the format of its endpoint. */
export type JobEvents = {
  /** No events for lines that clients do not see, and for those up to the reader's cursor. */
  of(line: Line): readonly JobEvent[];
  /** Where the log must be read from: its start, if the events depend on all lines before. */
  readonly from: EntryId;
};

const none: readonly JobEvent[] = [];

/** `after`: the reader has the events up to this line. */
export function jobEvents(meta: Readonly<RequestMeta>, after: EntryId): JobEvents {
  const api = clientApiOf(meta.endpoint);
  const { encodeEvents } = api;
  const facts = factsOfAnswer(meta);
  if (!encodeEvents) {
    return {
      of(line) {
        const event = toJobEvent(line, meta.includeUsage);
        return event ? [event] : none;
      },
      from: after,
    };
  }
  let encoder = encodeEvents(facts);
  const chunks = (texts: readonly string[], entry?: string): JobEvent[] =>
    texts.map((data, index) => {
      // The reader has the line once it has its last event.
      const isLast = index === texts.length - 1;
      return isLast && entry !== undefined
        ? { event: 'chunk', entry, data }
        : { event: 'chunk', data };
    });

  function eventsOf(line: Line): readonly JobEvent[] {
    const kind = line.text[0];
    if (kind === 'c' || kind === 'u') return chunks(encoder.chunk(line), formatEntryId(line));
    if (kind === 'z') encoder = encodeEvents?.(facts) ?? encoder;
    if (kind === 'r') {
      const entry = decodeEntry(line.text);
      const whole = entry.kind === 'result' ? api.encodeWhole(entry.data, facts).body : '{}';
      return chunks([singleLine(whole)], formatEntryId(line));
    }
    const event = toJobEvent(line, true);
    if (!event) return none;
    return kind === 'd' && meta.stream
      ? [...chunks(encoder.end(completedAt(line))), event]
      : [event];
  }

  return {
    of(line) {
      const events = eventsOf(line);
      return compareEntryIds(line, after) <= 0 ? none : events;
    },
    from: logStart,
  };
}

/** A line of the log as an event of the job API; undefined for lines that clients do not see. */
export function toJobEvent(line: Line, includeUsage: boolean): JobEvent | undefined {
  const entry = formatEntryId(line);
  const kind = line.text[0];
  if (kind === 'c' || (kind === 'u' && includeUsage)) {
    return { event: 'chunk', entry, data: line.text.slice(1) };
  }
  if (kind === 'u' || kind === 'e') return undefined;
  const decoded = decodeEntry(line.text);
  switch (decoded.kind) {
    case 'attempt': {
      const { run, attempt, provider, model, mode } = decoded.data;
      return {
        event: 'attempt',
        entry,
        data: JSON.stringify({ run, attempt, provider, model, mode }),
      };
    }
    case 'result':
      // A whole answer is one chunk. A line break between tokens of JSON is only white space.
      return { event: 'chunk', entry, data: singleLine(decoded.data.body) };
    case 'reset':
      return { event: 'reset', entry, data: JSON.stringify(decoded.data) };
    case 'done': {
      const { finishReason, usage, attempts } = decoded.data;
      const data = { status: 'completed', finish_reason: finishReason, usage, attempts };
      return { event: 'done', entry, data: JSON.stringify(data) };
    }
    case 'failed': {
      const data = { status: 'failed', error: decoded.data.error };
      return { event: 'failed', entry, data: JSON.stringify(data) };
    }
    case 'cancelled':
      return { ...cancelledEvent, entry };
    default:
      return undefined;
  }
}
