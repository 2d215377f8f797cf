import { decodeEntry, formatEntryId } from '@millrace/shared/domain/entry';
import type { Failed, Line } from '@millrace/shared/domain/entry';
import { singleLine } from '@millrace/shared/domain/json-text';

/** An event of the job API: its name, its entry id where it has one, and its data as JSON text. */
export type JobEvent = { event: string; entry?: string; data: string };

/**
 * A comment on a line of its own, without a blank line behind it: a blank line ends an event, and
 * openai-python takes one for an event with empty data, which it cannot parse, once it was sent an id.
 */
export const sseComment = (text: string): string => `: ${text}\n`;

export const sseKeepAlive = sseComment('keep-alive');

/** Milliseconds after which an EventSource reconnects, from and to: random, so that not all come at once. */
const retryMs = [200, 400] as const;

/** For a native reader, before the first event. The default of an EventSource is some seconds. */
export function sseRetry(): string {
  const [from, to] = retryMs;
  return `retry: ${Math.round(from + Math.random() * (to - from))}\n`;
}

export const sseDone = 'data: [DONE]\n\n';

/** For a plain reader. `withId`: the client asked for entry ids, which some SDKs do not expect. */
export const sseChunk = (line: Line, withId: boolean): string =>
  withId
    ? `id: ${line.run}-${line.seq}\ndata: ${line.text.slice(1)}\n\n`
    : `data: ${line.text.slice(1)}\n\n`;

export const sseError = (failed: Pick<Failed, 'error'>): string =>
  `data: ${JSON.stringify({ error: failed.error })}\n\n`;

export const sseEvent = ({ event, entry, data }: JobEvent): string =>
  entry === undefined
    ? `event: ${event}\ndata: ${data}\n\n`
    : `event: ${event}\nid: ${entry}\ndata: ${data}\n\n`;

export const socketEvent = (id: string, { event, entry, data }: JobEvent): string =>
  entry === undefined
    ? `{"type":"${event}","id":"${id}","data":${data}}`
    : `{"type":"${event}","id":"${id}","entry":"${entry}","data":${data}}`;

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
      // A whole answer is one chunk. In JSON a line break between tokens is white space only.
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
      return { event: 'cancelled', entry, data: '{"status":"cancelled"}' };
    default:
      return undefined;
  }
}
