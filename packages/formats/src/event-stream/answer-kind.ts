import type { Headers } from '../port.ts';

/** How an answer to a request for a stream is to be read: event by event, or as a whole. */
export type AnswerKind = 'stream' | 'whole';

/** Looks at the first bytes of an answer, until they tell its kind. */
export type AnswerSniffer = {
  /** The kind, and all bytes so far; undefined while they do not tell. */
  push(bytes: Buffer): { kind: AnswerKind; bytes: Buffer } | undefined;
  /** What the content type says of a body that ended before its bytes were enough. */
  end(): { kind: AnswerKind; bytes: Buffer };
};

/** Bytes, all of them white space, after which the content type decides. */
const maxBlankBytes = 1024;

/** A byte order mark, as bytes that are read one character each, and white space. */
const lead = /^(?:\u00ef\u00bb\u00bf)?[\s]*/;

/** A comment, or a field of an event. */
const eventStream = /^(?::|(?:data|event|id|retry)(?::|$))/;

const fieldNames = ['data:', 'event:', 'id:', 'retry:'];

/**
 * The bytes decide, as providers label streams as `text/plain`, `application/json`, or not at all, and
 * whole answers as streams; the label decides only where they could be anything.
 */
export function createSniffer(headers: Headers): AnswerSniffer {
  const labelled: AnswerKind = isEventStream(headers) ? 'stream' : 'whole';
  let bytes: Buffer = Buffer.alloc(0);

  function kindOf(): AnswerKind | undefined {
    // Nearly all streams begin so.
    if (bytes.toString('latin1', 0, 5) === 'data:') return 'stream';
    const text = bytes.toString('latin1', 0, maxBlankBytes).replace(lead, '');
    if ('\u00ef\u00bb'.startsWith(text)) return bytes.length < maxBlankBytes ? undefined : labelled;
    if (/^[{[<"]/.test(text)) return 'whole';
    if (fieldNames.some((name) => name.length > text.length && name.startsWith(text))) {
      return undefined;
    }
    return eventStream.test(text) ? 'stream' : labelled;
  }

  return {
    push(more) {
      bytes = bytes.length === 0 ? more : Buffer.concat([bytes, more]);
      const kind = kindOf();
      return kind && { kind, bytes };
    },
    end: () => ({ kind: labelled, bytes }),
  };
}

/** Media types are compared without regard to case, and may have parameters. */
export const isEventStream = (headers: Headers): boolean =>
  /^\s*text\/event-stream\s*(;|$)/i.test(String(headers['content-type'] ?? ''));
