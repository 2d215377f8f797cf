import { StringDecoder } from 'node:string_decoder';
import { readJsonObject } from '../../domain/json.ts';
import type { DebugRecord } from '../../domain/debug-record.ts';

/*
 * How a record travels to the control plane: a short head as JSON, and behind it the bytes of the request and of the answer as
 * they are. A worker then never makes JSON of a long text, which would stop its streams for milliseconds.
 */

type Answer = NonNullable<DebugRecord['answer']>;

export type RawRecord = {
  head: Omit<DebugRecord, 'sent' | 'answer'> & {
    /** `bytes`: of the body. */
    sent: Omit<DebugRecord['sent'], 'body'> & { bytes: number };
    /** `pieces`: milliseconds from the start, and bytes. */
    answer?: Omit<Answer, 'events' | 'encoding'> & {
      pieces: readonly (readonly [ms: number, bytes: number])[];
    };
  };
  /** The body of the request and the pieces of the answer, one behind the other. */
  bytes: Buffer;
};

export const frameRecord = ({ head, bytes }: RawRecord): Buffer =>
  Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), bytes]);

/** Throws on a frame of another version. */
export function readRecord(frame: Buffer): DebugRecord {
  const newline = frame.indexOf(0x0a);
  const value = readJsonObject(frame.toString('utf8', 0, Math.max(0, newline)));
  if (!value || typeof value['request'] !== 'string') throw new Error('not a record');
  const { sent, answer, ...rest } = value as unknown as RawRecord['head'];
  let at = newline + 1;
  const next = (length: number) => frame.subarray(at, (at += length));
  const body = next(sent.bytes).toString('utf8');
  const isPacked = !['', 'identity'].includes(answer?.headers['content-encoding'] ?? '');
  // A character may be spread over several pieces.
  const decoder = isPacked ? undefined : new StringDecoder('utf8');
  const textOf = (bytes: Buffer) => decoder?.write(bytes) ?? bytes.toString('base64');
  const events = answer?.pieces.map(([ms, length]) => ({ ms, text: textOf(next(length)) }));
  return {
    ...rest,
    sent: { path: sent.path, headers: sent.headers, body },
    ...(answer && {
      answer: {
        status: answer.status,
        head_ms: answer.head_ms,
        headers: answer.headers,
        ...(isPacked && { encoding: 'base64' as const }),
        events: events?.filter(({ text }) => text !== '') ?? [],
      },
    }),
  };
}
