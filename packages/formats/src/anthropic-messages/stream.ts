import { visibility } from '../openai-chat/chunk.ts';
import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject } from '@millrace/shared/domain/json';
import { damagedEvent, readEvent } from '../event-stream/read-event.ts';
import { createEventStreamParser } from '../event-stream/parser.ts';
import type { UpstreamEvent } from '../event-stream/parser.ts';
import type { AnswerSink, ProviderCall, StreamReader, Verdict } from '../port.ts';
import { createBlockReader } from './blocks.ts';
import { completionId, createChunkWriter } from './chunks.ts';
import type { ChunkWriter, Delta } from './chunks.ts';
import { errorFault } from './errors.ts';
import { joinPrefilled, strippedFrom } from './prefill.ts';
import { countsAnswer, finishReasonOf, mergeUsage, refusalOf, toOpenAiUsage } from './usage.ts';
import type { Usage } from './usage.ts';

/** Bytes of one event: a server tool's result can come in one. */
const maxEventBytes = 16 * 1024 * 1024;

type Json = Readonly<Record<string, unknown>>;

/** What a reader needs to know of the call. */
export type StreamCall = Pick<ProviderCall, 'body' | 'model' | 'prefill' | 'identity'>;

/** Reads Anthropic's events and writes OpenAI's chunks. */
export function createStreamReader(
  { body, model, prefill, identity }: StreamCall,
  sink: AnswerSink,
  now: () => number = Date.now,
): StreamReader {
  const joined = joinPrefilled(prefill ? strippedFrom(body) : '');
  let blocks = createBlockReader();
  let writer: ChunkWriter | undefined;
  let messageId: unknown;
  let usage: Usage = {};
  /** The usage is of more than the answer's beginning. */
  let isCounted = false;
  let finishReason: string | undefined;
  let isShown = false;
  let events = 0;
  let verdict: Verdict | undefined;

  /** Begins the answer, at the latest with its first piece. */
  function begin(message: Json): ChunkWriter {
    const { id, model: named } = message;
    messageId = id;
    writer = createChunkWriter({
      id: identity?.id ?? completionId(id),
      created: identity?.created ?? Math.floor(now() / 1000),
      model: identity?.model ?? (typeof named === 'string' && named !== '' ? named : model),
    });
    say(writer, { role: 'assistant', content: '', refusal: null });
    return writer;
  }

  function show(delta: Delta | undefined): void {
    if (!delta) return;
    const answer = writer ?? begin({});
    if (delta.content === undefined) {
      say(answer, delta);
      return;
    }
    // A delta with content has nothing else.
    const content = joined.push(delta.content);
    if (content === '') return;
    isShown = true;
    sink.plain(answer.content(content), content);
  }

  function showRead(delta: Delta | 'damaged' | undefined): void {
    if (delta !== 'damaged') show(delta);
    else if (finishReason === undefined) verdict = damagedEvent;
  }

  function say(answer: ChunkWriter, delta: Delta, finishReason?: string): void {
    const { text, chunk } = answer.delta(delta, finishReason);
    const visible = visibility(chunk) === 'visible';
    isShown ||= visible;
    sink.chunk(text, chunk, visible);
  }

  function startMessage(message: unknown): void {
    const started: Json = isJsonObject(message) ? message : {};
    if (writer && started['id'] === messageId) return;
    if (writer && isShown) {
      // Something on the way asked anew, and joined the second answer to a part of the first.
      verdict = truncated('in the middle, and began another one');
      return;
    }
    blocks = createBlockReader();
    usage = mergeUsage({}, started['usage']);
    isCounted = false;
    const answer = writer ?? begin(started);
    messageId = started['id'];
    // The prompt is paid for from here on, however the answer ends.
    if (Object.keys(usage).length > 0) sink.usage(answer.usage(toOpenAiUsage(usage)));
  }

  function endMessage(event: Json): void {
    usage = mergeUsage(usage, event['usage']);
    isCounted ||= countsAnswer(event['usage']);
    const delta: Json = isJsonObject(event['delta']) ? event['delta'] : {};
    const reason = finishReasonOf(delta['stop_reason']);
    if (reason === undefined || finishReason !== undefined) return;
    finishReason = reason;
    for (const rest of blocks.end()) show(rest);
    const refusal = refusalOf(delta['stop_details']);
    say(writer ?? begin({}), refusal === undefined ? {} : { refusal }, reason);
  }

  function complete(reason: string): Verdict {
    const told = isCounted ? toOpenAiUsage(usage) : undefined;
    if (told && writer) sink.usage(writer.usage(told));
    return { kind: 'completed', finishReason: reason, usage: told, ...(!told && { isCut: true }) };
  }

  function onEvent(upstream: UpstreamEvent): void {
    if (verdict) return;
    const read = readEvent(upstream);
    // Other providers' `[DONE]` says nothing here: message_stop does.
    if (read.kind === 'nothing' || read.kind === 'done') return;
    // Behind the stop_reason no part of the answer can be missing.
    if (read.kind === 'damaged') {
      if (finishReason === undefined) verdict = damagedEvent;
      return;
    }
    const event = read.value;
    const type = event['type'] ?? upstream.event;
    if (type === 'ping') return;
    events += 1;
    switch (type) {
      case 'message_start':
        startMessage(event['message']);
        break;
      case 'content_block_start':
        showRead(blocks.start(event['index'], event['content_block']));
        break;
      case 'content_block_delta':
        showRead(blocks.delta(event['index'], event['delta']));
        break;
      case 'content_block_stop':
        show(blocks.stop(event['index']));
        break;
      case 'message_delta':
        endMessage(event);
        break;
      case 'message_stop':
        verdict =
          finishReason === undefined ? truncated('without a stop_reason') : complete(finishReason);
        break;
      default: {
        const error = errorFault(event, { body });
        // After the stop_reason the answer is whole: nothing that follows can break it.
        if (error && finishReason !== undefined) verdict = complete(finishReason);
        else if (error) verdict = { kind: 'fault', fault: error };
      }
    }
  }

  const parser = createEventStreamParser({
    onEvent,
    onStray: (data) => onEvent({ data }),
    maxEventBytes,
  });

  return {
    get finished() {
      return finishReason !== undefined;
    },
    push(bytes) {
      try {
        parser.push(bytes);
      } catch {
        verdict ??= fault(
          'upstream_response_too_large',
          'The provider sent an event that is larger than this server reads.',
        );
      }
      return verdict;
    },
    end() {
      try {
        parser.end();
      } catch {
        // Too large: told below as what it is to the reader, an answer that has no end.
      }
      verdict ??= judgeEnd();
      return verdict;
    },
  };

  function judgeEnd(): Verdict {
    if (finishReason !== undefined) return complete(finishReason);
    return events === 0
      ? fault('upstream_invalid_response', 'The provider answered a stream request with no event.')
      : truncated('before it was complete');
  }
}

const fault = (code: Fault['code'], message: string): Verdict => ({
  kind: 'fault',
  fault: { code, message },
});

const truncated = (how: string): Verdict =>
  fault('upstream_truncated', `The provider ended its answer ${how}.`);
