import type { Headers } from '@millrace/formats/port';
import { isUtf8 } from 'node:buffer';
import type { Fault } from '@millrace/shared/domain/fault';
import { answerBounds, createJsonMeter } from '@millrace/shared/domain/json-bounds';
import type { AttemptOutcome } from './attempt.ts';
import { readStream } from '@millrace/formats/openai-chat/stream';
import { wholeAsStream } from '@millrace/formats/openai-chat/whole-as-stream';
import type { AnswerSink, ProviderCall, ProviderFormat } from '@millrace/formats/port';

/* Derives an attempt's outcome from a response's head and complete body. */

export type Head = { status: number; headers: Headers };

/** Bytes of an error body that are read. */
const maxErrorBytes = 256 * 1024;

export const isSuccess = ({ status }: Head): boolean => status >= 200 && status < 300;

const contentType = (head: Head): string => String(head.headers['content-type'] ?? '');

export type BodyReaderOptions = {
  format: ProviderFormat;
  call: ProviderCall;
  head: Head;
  maxResponseBytes: number;
  /** Receives a complete answer to a streaming request, as a stream. */
  sink: AnswerSink;
};

/** Collects a body that is not a stream: an answer, an error, or something unknown. */
export type BodyReader = {
  /** Takes the next bytes. Returns an outcome if no more are needed. */
  push(bytes: Buffer): AttemptOutcome | undefined;
  end(): AttemptOutcome;
  /** Bytes collected so far. */
  readonly size: number;
};

export function createBodyReader(options: BodyReaderOptions): BodyReader {
  const { format, head } = options;
  // As a data URL an answer is a third longer.
  const maxResponseBytes = format.readBytes
    ? Math.floor(options.maxResponseBytes * 0.74)
    : options.maxResponseBytes;
  const { maxValues = answerBounds.values } = format;
  const parts: Buffer[] = [];
  const meter = createJsonMeter({ ...answerBounds, values: maxValues });
  let size = 0;
  const end = () => classifyBody(options, Buffer.concat(parts));
  return {
    push(bytes) {
      parts.push(bytes);
      size += bytes.length;
      if (!isSuccess(head)) return size > maxErrorBytes ? end() : undefined;
      const isTooComplex = meter.push(bytes) !== undefined;
      if (size <= maxResponseBytes && !isTooComplex) return undefined;
      const most = isTooComplex ? `${maxValues} values` : `${maxResponseBytes} bytes`;
      const message = `The provider's answer is larger than ${most}.`;
      return { kind: 'fault', fault: { code: 'upstream_response_too_large', message } };
    },
    end,
    get size() {
      return size;
    },
  };
}

function classifyBody(
  { format, call, head, sink }: BodyReaderOptions,
  bytes: Buffer,
): AttemptOutcome {
  if (isSuccess(head) && format.readBytes) {
    const read = format.readBytes(bytes, contentType(head), call);
    if (read.kind === 'fault') return read;
    const { body = '{}', ...rest } = read;
    if (call.stream) return streamOf(body, { format, call, sink });
    return { ...rest, result: { contentType: 'application/json', body } };
  }
  const text = decoder.decode(bytes);
  if (!isSuccess(head))
    return { kind: 'fault', fault: classifyStatusError({ format, call, head }, text) };
  // Decoding has lost characters.
  if (!isUtf8(bytes)) return { kind: 'fault', fault: unreadable };
  const classification = format.readWhole(text, call);
  if (classification.kind === 'fault') {
    // An error with a success status, or an unknown format.
    return call.stream && !classification.fault.error ? notAStream : classification;
  }
  const { body = text, ...rest } = classification;
  if (call.stream) return streamOf(body, { format, call, sink });
  const result = { contentType: contentTypeOf(contentType(head)), body };
  return { ...rest, result: call.native ? { ...result, native: text } : result };
}

/** Reads a whole answer to a request for a stream as one. */
function streamOf(
  body: string,
  { format, call, sink }: Pick<BodyReaderOptions, 'format' | 'call' | 'sink'>,
): AttemptOutcome {
  const { wholeAsStream: ownStream } = format;
  const reader = ownStream ? format.readStream(call, sink) : readStream(call, sink);
  const text = ownStream ? ownStream(body) : wholeAsStream(body);
  return reader.push(Buffer.from(text)) ?? reader.end();
}

/** Strips a byte order mark. */
const decoder = new TextDecoder();

const unreadable: Fault = {
  code: 'upstream_invalid_response',
  message: 'The provider answered with bytes that are no UTF-8.',
};

/**
 * The content types that a client may receive: every answer is JSON, and a provider's header may have any
 * value.
 */
const knownContentTypes: ReadonlySet<string> = new Set([
  'application/json',
  'application/json; charset=utf-8',
  'application/json;charset=utf-8',
]);

const contentTypeOf = (told: string): string => {
  const type = told.toLowerCase();
  return knownContentTypes.has(type) ? type : 'application/json';
};

const notAStream: AttemptOutcome = {
  kind: 'fault',
  fault: {
    code: 'upstream_invalid_response',
    message: 'The provider answered a stream request with something that is no event stream.',
  },
};

function classifyStatusError(
  { format, call, head }: Pick<BodyReaderOptions, 'format' | 'call' | 'head'>,
  text: string,
): Fault {
  const { status } = head;
  const { code, error, words, retryAfterMs } = format.readError({ ...head, text }, call);
  const told = words === undefined ? '' : `: ${words.replace(/\.$/, '')}`;
  const fault: Fault = {
    code,
    message: `The provider answered with status ${status}${told}.`,
    // A client cannot use redirects, and a number that is no HTTP status cannot be sent.
    httpStatus: status >= 400 && status < 600 ? status : 502,
  };
  if (error) fault.error = error;
  if (retryAfterMs !== undefined) fault.retryAfterMs = retryAfterMs;
  return fault;
}

export const noAnswer: AttemptOutcome = {
  kind: 'fault',
  fault: { code: 'upstream_invalid_response', message: 'The provider sent no response.' },
};

export const untranslatable: Fault = {
  code: 'target_unsuited',
  message: "The request could not be put into the target's format.",
};
