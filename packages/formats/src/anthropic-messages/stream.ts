import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { readAnswer, truncated } from '../event-stream/answer-reader.ts';
import type { AnswerDecoder, Taken } from '../event-stream/answer-reader.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import { visibility } from '../openai-chat/chunk.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import { createBlockReader } from './blocks.ts';
import { completionId, createChunkWriter } from '../openai-chat/chunk-writer.ts';
import type { ChunkWriter, Delta } from '../openai-chat/chunk-writer.ts';
import { errorFault } from './errors.ts';
import { joinPrefilled, strippedFrom } from './prefill.ts';
import { countsAnswer, finishReasonOf, mergeUsage, refusalOf, toOpenAiUsage } from './usage.ts';
import type { Usage } from './usage.ts';

/** The part of the call that a reader needs. */
export type StreamCall = Pick<ProviderCall, 'body' | 'model' | 'prefill' | 'identity' | 'native'>;

/** Reads Anthropic's events and writes OpenAI chunks. */
export const readStream = (
  call: StreamCall,
  sink: AnswerSink,
  now: () => number = Date.now,
): StreamReader => readAnswer(new MessageDecoder(call, sink, now));

/** Events that are part of a message, or keep-alives; an error is never one of them. */
const messageEvents: ReadonlySet<unknown> = new Set([
  'ping',
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block_stop',
  'message_delta',
  'message_stop',
]);

const typeOf = (event: UpstreamEvent, value: JsonObject): unknown => value['type'] ?? event.event;

class MessageDecoder implements AnswerDecoder {
  private readonly call: StreamCall;
  private readonly sink: AnswerSink;
  private readonly now: () => number;
  private readonly joined: ReturnType<typeof joinPrefilled>;
  private blocks = createBlockReader();
  private writer: ChunkWriter | undefined;
  private messageId: unknown;
  private usage: Usage = {};
  /** The usage covers more than the beginning of the answer. */
  private isCounted = false;
  private finishReason: string | undefined;
  private isShown = false;
  /** The event that is being taken, if readers get the provider's events. */
  private native: JsonObject | undefined;

  constructor(call: StreamCall, sink: AnswerSink, now: () => number) {
    this.call = call;
    this.sink = sink;
    this.now = now;
    this.joined = joinPrefilled(call.prefill ? strippedFrom(call.body) : '');
  }

  get finished(): boolean {
    return this.finishReason !== undefined;
  }

  /** If the usage was reported, nothing is missing, wherever the stream broke off. */
  completed(): Verdict {
    const usage = this.isCounted ? toOpenAiUsage(this.usage) : undefined;
    if (usage && this.writer) this.sink.usage(this.writer.usage(usage));
    return {
      kind: 'completed',
      finishReason: this.finishReason ?? null,
      usage,
      ...(!usage && { isCut: true as const }),
    };
  }

  /** Other providers' `[DONE]` has no meaning here: `message_stop` ends the message. */
  done(): Taken {
    return 'ignored';
  }

  faultIn(event: UpstreamEvent, value: JsonObject | undefined): Fault | undefined {
    if (!value || messageEvents.has(typeOf(event, value))) return undefined;
    return errorFault(value, { body: this.call.body });
  }

  take(value: JsonObject, event: UpstreamEvent): Taken {
    const type = typeOf(event, value);
    this.native = this.call.native && { ...value, type };
    const taken = this.takeEvent(type, value);
    // No chunk says what this event says.
    if (taken === undefined && this.native && type !== 'message_stop') {
      this.write(this.writer ?? this.begin({}), {});
    }
    return taken;
  }

  private takeEvent(type: unknown, value: JsonObject): Taken {
    switch (type) {
      case 'ping':
        return 'ignored';
      case 'message_start':
        return this.startMessage(value['message']);
      case 'content_block_start':
        return this.show(this.blocks.start(value['index'], value['content_block']));
      case 'content_block_delta':
        return this.show(this.blocks.delta(value['index'], value['delta']));
      case 'content_block_stop':
        return this.show(this.blocks.stop(value['index']));
      case 'message_delta':
        return this.endMessage(value);
      case 'message_stop':
        return this.finished ? 'completed' : truncated('without a stop_reason');
      default:
        return undefined;
    }
  }

  private startMessage(message: unknown): Taken {
    const started: JsonObject = isJsonObject(message) ? message : {};
    if (this.writer && started['id'] === this.messageId) return undefined;
    if (this.writer && this.isShown) {
      // A gateway repeated the request and joined the second answer to a part of the first.
      return truncated('in the middle, and began another one');
    }
    this.blocks = createBlockReader();
    this.usage = mergeUsage({}, started['usage']);
    this.isCounted = false;
    const answer = this.writer ?? this.begin(started);
    this.messageId = started['id'];
    // From now on the prompt is charged, however the answer ends.
    if (Object.keys(this.usage).length > 0) {
      this.sink.usage(answer.usage(toOpenAiUsage(this.usage)));
    }
    return undefined;
  }

  private endMessage(event: JsonObject): Taken {
    this.usage = mergeUsage(this.usage, event['usage']);
    this.isCounted ||= countsAnswer(event['usage']);
    const delta: JsonObject = isJsonObject(event['delta']) ? event['delta'] : {};
    const reason = finishReasonOf(delta['stop_reason']);
    if (reason === undefined || this.finished) return undefined;
    this.finishReason = reason;
    const { native } = this;
    // What blocks still add is no part of this event.
    this.native = undefined;
    for (const rest of this.blocks.end()) this.show(rest);
    this.native = native;
    const refusal = refusalOf(delta['stop_details']);
    this.write(this.writer ?? this.begin({}), refusal === undefined ? {} : { refusal }, reason);
    return undefined;
  }

  /** Begins the answer; called at the latest with its first piece. */
  private begin({ id, model }: JsonObject): ChunkWriter {
    const { identity } = this.call;
    this.messageId = id;
    this.writer = createChunkWriter({
      id: identity?.id ?? completionId(id),
      created: identity?.created ?? Math.floor(this.now() / 1000),
      model:
        identity?.model ?? (typeof model === 'string' && model !== '' ? model : this.call.model),
    });
    const { native } = this;
    // The event of a stream that did not begin with one belongs to the chunk that follows.
    if (native?.['type'] !== 'message_start') this.native = undefined;
    this.write(this.writer, { role: 'assistant', content: '', refusal: null });
    if (native?.['type'] !== 'message_start') this.native = native;
    return this.writer;
  }

  private show(delta: Delta | 'damaged' | undefined): Taken {
    if (delta === 'damaged' || !delta) return delta;
    const answer = this.writer ?? this.begin({});
    if (delta.content === undefined) {
      this.write(answer, delta);
      return undefined;
    }
    // A delta with content has nothing else.
    const content = this.joined.push(delta.content);
    this.native = undefined;
    if (content === '') return undefined;
    this.isShown = true;
    this.sink.plain(answer.content(content), content);
    return undefined;
  }

  private write(answer: ChunkWriter, delta: Delta, finishReason?: string): void {
    const { native } = this;
    this.native = undefined;
    const { text, chunk } = answer.delta(delta, {
      ...(finishReason !== undefined && { finishReason }),
      ...(native && { native }),
    });
    const visible = visibility(chunk) === 'visible';
    this.isShown ||= visible;
    this.sink.chunk(text, chunk, visible);
  }
}
