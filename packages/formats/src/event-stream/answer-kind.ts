import type { Headers } from '../port.ts';

/** How an answer to a streaming request is read: event by event, or as a whole. */
export type AnswerKind = 'stream' | 'whole';

/** Determines the kind of an answer from its first bytes. */
export type AnswerSniffer = {
  /** The kind, and all bytes so far; undefined while it is unclear. */
  push(bytes: Buffer): { kind: AnswerKind; bytes: Buffer } | undefined;
  /** The kind by the content type, for a body that ended too early. */
  end(): { kind: AnswerKind; bytes: Buffer };
};

/** Bytes, all of them white space, after which the content type decides. */
const maxBlankBytes = 1024;

/** A byte order mark (its bytes as Latin-1 characters) and white space. */
const lead = /^(?:\u00ef\u00bb\u00bf)?[\s]*/;

/** A comment, or a field of an event. */
const eventStream = /^(?::|(?:data|event|id|retry)(?::|$))/;

const fieldNames = ['data:', 'event:', 'id:', 'retry:'];

/**
 * The bytes decide, because providers label streams as `text/plain`, `application/json`, or not at all, and
 * whole answers as streams; the label decides only if the bytes are ambiguous.
 */
export function createSniffer(headers: Headers): AnswerSniffer {
  const labelled: AnswerKind = isEventStream(headers) ? 'stream' : 'whole';
  let bytes: Buffer = Buffer.alloc(0);

  function kindOf(): AnswerKind | undefined {
    // Nearly all streams begin like this.
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

/** Media types are case-insensitive and may have parameters. */
export const isEventStream = (headers: Headers): boolean =>
  /^\s*text\/event-stream\s*(;|$)/i.test(String(headers['content-type'] ?? ''));
