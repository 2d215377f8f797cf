import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { faultInAnswer } from '../errors/read-error.ts';
import { readAnswer, truncated } from '../event-stream/answer-reader.ts';
import type { AnswerDecoder, Taken } from '../event-stream/answer-reader.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import { visibility } from '../openai-chat/chunk.ts';
import { completionId, createChunkWriter } from '../openai-chat/chunk-writer.ts';
import type { ChoiceMembers, ChunkWriter, Delta } from '../openai-chat/chunk-writer.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import { faultInEvent } from './errors.ts';
import { NativeEvents } from './native-events.ts';
import { OutputReader } from './output.ts';
import { asksForReasoning } from './reasoning.ts';
import { finishReasonOf, isEnded, toChatUsage } from './usage.ts';
import type { Ended } from './usage.ts';

/** The part of the call that a reader needs. */
export type StreamCall = Pick<ProviderCall, 'body' | 'model' | 'identity' | 'native'>;

/** Reads the events of a response and writes chunks of a chat completion. */
export const readStream = (
  call: StreamCall,
  sink: AnswerSink,
  now: () => number = Date.now,
): StreamReader => readAnswer(new ResponseDecoder(call, sink, now));

class ResponseDecoder implements AnswerDecoder {
  private readonly call: StreamCall;
  private readonly sink: AnswerSink;
  private readonly now: () => number;
  private output = this.newOutput();
  private writer: ChunkWriter | undefined;
  private responseId: unknown;
  private finishReason: string | undefined;
  private usage: Record<string, unknown> | undefined;
  private isShown = false;
  /** The event that is being taken, if readers get the provider's events. */
  private native: JsonObject | undefined;
  private readonly events = new NativeEvents();

  constructor(call: StreamCall, sink: AnswerSink, now: () => number) {
    this.call = call;
    this.sink = sink;
    this.now = now;
  }

  get finished(): boolean {
    return this.finishReason !== undefined;
  }

  completed(): Verdict {
    const { usage } = this;
    return { kind: 'completed', finishReason: this.finishReason ?? null, ...(usage && { usage }) };
  }

  /** OpenAI sends none, and OpenRouter sends it behind the end of the response. */
  done(): Taken {
    return truncated('without the end of its response');
  }

  faultIn({ event, data }: UpstreamEvent, value: JsonObject | undefined): Fault | undefined {
    if (value) return faultInEvent(value, event, this.call);
    return event === 'error' ? faultInAnswer(data, { body: this.call.body }) : undefined;
  }

  take(value: JsonObject, event: UpstreamEvent): Taken {
    const type = value['type'] ?? event.event;
    this.native = this.call.native && this.events.take(type, value);
    const taken = this.takeEvent(type, value);
    // No chunk says what this event says.
    if (taken === undefined && this.native) this.write(this.writer ?? this.begin({}), {});
    return taken;
  }

  private takeEvent(type: unknown, value: JsonObject): Taken {
    switch (type) {
      case 'ping':
      case 'keepalive':
        return 'ignored';
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
        return this.start(value['response']);
      case 'response.completed':
        return this.end('completed', value['response']);
      case 'response.incomplete':
        return this.end('incomplete', value['response']);
      case 'response.cancelled':
        return truncated('because the response was cancelled');
      default:
        return this.output.take(type, value);
    }
  }

  private newOutput(): OutputReader {
    return new OutputReader((delta, logprobs) => this.show(delta, logprobs));
  }

  private start(response: unknown): Taken {
    const started: JsonObject = isJsonObject(response) ? response : {};
    if (!this.writer) {
      this.begin(started);
    } else if (started['id'] !== this.responseId) {
      // A gateway repeated the request and joined the second answer to a part of the first.
      if (this.isShown) return truncated('in the middle, and began another one');
      this.output = this.newOutput();
      this.responseId = started['id'];
    }
    return undefined;
  }

  private end(type: Ended, response: unknown): Taken {
    if (!isJsonObject(response)) return 'damaged';
    const { status } = response;
    const writer = this.writer ?? this.begin(response);
    const { native } = this;
    // What the output still adds is no part of this event.
    this.native = undefined;
    if (this.output.takeOutput(response['output']) === 'damaged') return 'damaged';
    const { hasCalls } = this.output;
    const details = this.output.encryptedReasoning();
    // Before calls, a model needs its reasoning back with their results; otherwise only clients that ask want it.
    const isWanted = hasCalls || this.call.native !== undefined;
    if (details.length > 0 && (isWanted || asksForReasoning(requestOf(this.call)))) {
      this.write(writer, { reasoning_details: details });
    }
    this.native = native;
    this.finishReason = finishReasonOf(isEnded(status) ? status : type, response, hasCalls);
    this.write(writer, {}, { finishReason: this.finishReason });
    this.usage = toChatUsage(response['usage']);
    if (this.usage) this.sink.usage(writer.usage(this.usage));
    return 'completed';
  }

  /** Begins the answer; called at the latest with its first piece. */
  private begin({ id, model, created_at: created }: JsonObject): ChunkWriter {
    const { identity } = this.call;
    this.responseId = id;
    this.writer = createChunkWriter({
      id: identity?.id ?? completionId(id),
      created:
        identity?.created ??
        Math.floor(typeof created === 'number' && created > 0 ? created : this.now() / 1000),
      model:
        identity?.model ?? (typeof model === 'string' && model !== '' ? model : this.call.model),
    });
    this.write(this.writer, { role: 'assistant', content: '', refusal: null });
    return this.writer;
  }

  private show(delta: Delta, logprobs: readonly unknown[] | undefined): void {
    const writer = this.writer ?? this.begin({});
    if (delta.content === undefined || logprobs) {
      this.write(writer, delta, logprobs && { logprobs: { content: logprobs, refusal: null } });
      return;
    }
    if (this.native) {
      this.write(writer, delta);
      return;
    }
    // A delta with content has nothing else.
    this.isShown = true;
    this.sink.plain(writer.content(delta.content), delta.content);
  }

  private write(writer: ChunkWriter, delta: Delta, choice?: ChoiceMembers): void {
    const { native } = this;
    this.native = undefined;
    const { text, chunk } = writer.delta(delta, { ...choice, ...(native && { native }) });
    const visible = visibility(chunk) === 'visible';
    this.isShown ||= visible;
    this.sink.chunk(text, chunk, visible);
  }
}

/** The request in the inner form. */
function requestOf({ body }: Pick<StreamCall, 'body'>): JsonObject {
  const request = JSON.parse(body) as unknown;
  return isJsonObject(request) ? request : {};
}
