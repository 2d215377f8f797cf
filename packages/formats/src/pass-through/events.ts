import { readJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { opaqueMember } from '../openai-chat/chunk.ts';
import { bodyOf } from './bytes.ts';

/*
 * Streams of APIs whose answers have no inner form (images, speech, transcripts): each event of the provider is one chunk of the log, as
 * it is, in a delta that nothing can continue or compare. Speech as bytes has the events of `stream_format: sse`, with base64.
 */

export type PassedEvent = {
  /** The name of the server-sent event; absent: none. */
  name?: string | undefined;
  /** The media type of the bytes in it. */
  contentType?: string | undefined;
  /** JSON text in one line. */
  data: string;
};

const mark = `"${opaqueMember}":`;
const end = '}}]}';

/** The chunk of an event. `ends`: how many choices end with it. */
export function eventChunk({ data, ...head }: PassedEvent, ends = 0): string {
  const reason = ends > 0 ? '"stop"' : 'null';
  // Behind an end the log has nothing to wait for, so each choice that was asked for gets its own.
  const others = Array.from(
    { length: Math.max(0, ends - 1) },
    (_, index) => `{"index":${index + 1},"finish_reason":"stop","delta":{}},`,
  );
  return `{"event":${JSON.stringify(head)},"choices":[${others.join('')}{"index":0,"finish_reason":${reason},"delta":{${mark}${data}${end}`;
}

/** The event of such a chunk, for the hot path: its data can have megabytes, and is not parsed. */
export function eventIn(chunk: string): PassedEvent | undefined {
  const at = chunk.indexOf(mark);
  if (at < 0 || !chunk.endsWith(end)) return undefined;
  const data = chunk.slice(at + mark.length, -end.length);
  const headEnd = chunk.indexOf(',"choices":');
  const head = readJsonObject(chunk.slice('{"event":'.length, headEnd)) ?? {};
  const { name, contentType } = head;
  return {
    data,
    ...(typeof name === 'string' && { name }),
    ...(typeof contentType === 'string' && { contentType }),
  };
}

/** The bytes of an event of speech. */
export function audioIn({ data }: PassedEvent): Buffer {
  const audio = readJsonObject(data)?.['audio'];
  return Buffer.from(typeof audio === 'string' ? audio : '', 'base64');
}

/** Members of each picture of an answer. */
const ofPicture: ReadonlySet<string> = new Set(['b64_json', 'url', 'revised_prompt']);

/** The answer that the events of a stream make, as it would be without a stream; undefined if they make none. */
export function wholeOf(events: readonly PassedEvent[]): string | undefined {
  const values = events.map(({ data }) => readJsonObject(data) ?? {});
  const ofType = (pattern: RegExp): JsonObject[] =>
    values.filter(({ type }) => typeof type === 'string' && pattern.test(type));
  if (ofType(/^speech\.audio\.delta$/).length > 0) {
    const type = events.find(({ contentType }) => contentType !== undefined)?.contentType ?? '';
    return bodyOf(Buffer.concat(events.map(audioIn)), type);
  }
  const pictures = ofType(/^image_\w+\.completed$/);
  const [first, ...others] = pictures;
  if (first) {
    const shared = Object.entries(first).filter(
      ([name]) => !ofPicture.has(name) && name !== 'type',
    );
    const { usage, created_at: created, ...more } = Object.fromEntries(shared);
    const data = [first, ...others].map((picture) =>
      Object.fromEntries(Object.entries(picture).filter(([name]) => ofPicture.has(name))),
    );
    return JSON.stringify({ created, ...more, data, usage });
  }
  const [transcript] = ofType(/^transcript\.text\.done$/);
  if (!transcript) return undefined;
  const { type: _type, ...answer } = transcript;
  return JSON.stringify(answer);
}
