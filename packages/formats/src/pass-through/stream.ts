import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject, readJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { memberText, singleLine } from '@millrace/shared/domain/json-text';
import { readAnswer, truncated } from '../event-stream/answer-reader.ts';
import type { AnswerDecoder, Taken } from '../event-stream/answer-reader.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import { finishReasons, usageOf, visibility } from '../openai-chat/chunk.ts';
import { faultIn } from '../openai-chat/errors.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import { eventChunk } from './events.ts';
import { countedUsage } from './usage.ts';

/** Reads a stream of events whose last one has a type that ends with `.completed` or `.done`, or a finish_reason (vLLM's transcripts). */
export const readEvents = (call: ProviderCall, sink: AnswerSink): StreamReader =>
  readAnswer(new EventDecoder(call, sink));

class EventDecoder implements AnswerDecoder {
  finished = false;
  private readonly call: ProviderCall;
  private readonly sink: AnswerSink;
  private readonly answers: number;
  private ended = 0;
  private usage: JsonObject | undefined;

  constructor(call: ProviderCall, sink: AnswerSink) {
    this.call = call;
    this.sink = sink;
    this.answers = answersAsked(call.body);
  }

  completed(isCut: boolean): Verdict {
    const { usage } = this;
    return { kind: 'completed', finishReason: 'stop', usage, ...(isCut && { isCut }) };
  }

  faultIn({ event, data }: UpstreamEvent, value: JsonObject | undefined): Fault | undefined {
    if (value) return faultIn(value, this.call, event);
    return event === 'error' ? faultIn(data, this.call, event) : undefined;
  }

  done(): Taken {
    return this.finished ? 'completed' : truncated('before it was complete');
  }

  take(value: JsonObject, { event, data }: UpstreamEvent): Taken {
    const type = typeof value['type'] === 'string' ? value['type'] : '';
    const usage = countedUsage(usageOf(value));
    if (/\.(completed|done)$/.test(type) || finishReasons(value).length > 0) this.ended += 1;
    const isLast = !this.finished && this.ended >= this.answers;
    const text = eventChunk({ name: event, data: singleLine(data) }, isLast ? this.answers : 0);
    this.sink.chunk(text, JSON.parse(text), isVisible(value));
    this.finished ||= isLast;
    if (usage) {
      this.usage = usage;
      this.sink.usage(JSON.stringify({ choices: [], usage }));
    }
    return undefined;
  }
}

/** Whether an event has a part of the answer. */
const isVisible = (value: JsonObject): boolean =>
  ['b64_json', 'audio', 'delta', 'text'].some((name) => {
    const part = value[name];
    return typeof part === 'string' && part !== '';
  }) || visibility(value) === 'visible';

/** `n`, which is a text in a form. */
function answersAsked(body: string): number {
  const n = Number((memberText(body, 'n') ?? '1').replaceAll('"', ''));
  return Number.isInteger(n) && n > 0 && n <= maxAnswers ? n : 1;
}

/** No provider makes as many images at once. */
const maxAnswers = 100;

/** Bytes of one event: a line of the log is a third longer. */
const pieceBytes = 48 * 1024;

/** Reads audio as it comes, as the events of `stream_format: sse`. Only the end of the body shows that it is complete. */
export function readAudio(sink: AnswerSink, contentType: string): StreamReader {
  let hasBytes = false;
  const write = (event: object, ends: number, isAudio: boolean) => {
    const head = hasBytes ? {} : { contentType };
    const text = eventChunk({ ...head, data: JSON.stringify(event) }, ends);
    sink.chunk(text, JSON.parse(text), isAudio);
  };
  return {
    finished: false,
    push(bytes) {
      for (let from = 0; from < bytes.length; from += pieceBytes) {
        const piece = Buffer.from(bytes.subarray(from, from + pieceBytes));
        write({ type: 'speech.audio.delta', audio: piece.toString('base64') }, 0, true);
        hasBytes = true;
      }
      return undefined;
    },
    end() {
      if (!hasBytes) {
        const message = 'The provider answered with no audio.';
        return { kind: 'fault', fault: { code: 'upstream_invalid_response', message } };
      }
      write({ type: 'speech.audio.done' }, 1, false);
      return { kind: 'completed', finishReason: 'stop' };
    },
  };
}

/** A whole answer to a request for a stream, as the stream's text. */
export const asStream = (events: readonly JsonObject[]): string =>
  events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');

/** The events of images: each of them is complete. `what`: `image_generation` or `image_edit`. */
export function imageEvents(what: string, body: string): JsonObject[] {
  const { data, created, usage, ...more } = readJsonObject(body) ?? {};
  const pictures = (Array.isArray(data) ? (data as unknown[]) : []).filter(isJsonObject);
  return pictures.map((picture, index) => ({
    type: `${what}.completed`,
    ...more,
    ...picture,
    created_at: created,
    ...(index === pictures.length - 1 && { usage }),
  }));
}
