import { randomUUID } from 'node:crypto';
import type { Fault } from '@millrace/shared/domain/fault';
import { isJsonObject } from '@millrace/shared/domain/json';
import { createEventStreamParser } from '../event-stream.ts';
import type { AnswerSink, StreamReader, Verdict } from '../port.ts';
import { createBlockReader } from './blocks.ts';
import { createChunkWriter } from './chunks.ts';
import type { ChunkWriter, Delta } from './chunks.ts';
import { statusOf, toOpenAiError } from './errors.ts';
import { finishReasonOf, mergeUsage, refusalOf, toOpenAiUsage } from './usage.ts';
import type { Usage } from './usage.ts';

/** Bytes of one event: a server tool's result can come in one. */
const maxEventBytes = 16 * 1024 * 1024;

type Json = Readonly<Record<string, unknown>>;

/** Reads Anthropic's events and writes OpenAI's chunks. `model` is for answers that do not name theirs. */
export function createStreamReader(
  model: string,
  sink: AnswerSink,
  now: () => number = Date.now,
): StreamReader {
  let blocks = createBlockReader();
  let writer: ChunkWriter | undefined;
  let messageId: unknown;
  let usage: Usage = {};
  let finishReason: string | undefined;
  let isShown = false;
  let events = 0;
  let verdict: Verdict | undefined;

  /** Begins the answer, at the latest with its first piece. */
  function begin(message: Json): ChunkWriter {
    const { id, model: named } = message;
    messageId = id;
    const created = Math.floor(now() / 1000);
    writer = createChunkWriter(
      typeof id === 'string' && id !== '' ? id : randomUUID().replaceAll('-', ''),
      created,
      typeof named === 'string' && named !== '' ? named : model,
    );
    sink.chunk(writer.delta({ role: 'assistant', content: '', refusal: null }), false);
    return writer;
  }

  /** A delta that says anything is visible: the role and an end without words come elsewhere. */
  function show(delta: Delta | undefined): void {
    if (!delta) return;
    isShown = isShown || isVisible(delta);
    sink.chunk((writer ?? begin({})).delta(delta), isVisible(delta));
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
    if (!writer) begin(started);
    else messageId = started['id'];
  }

  function endMessage(event: Json): void {
    usage = mergeUsage(usage, event['usage']);
    const delta: Json = isJsonObject(event['delta']) ? event['delta'] : {};
    const reason = finishReasonOf(delta['stop_reason']);
    if (reason === undefined || finishReason !== undefined) return;
    finishReason = reason;
    for (const rest of blocks.end()) show(rest);
    const refusal = refusalOf(delta['stop_details']);
    sink.chunk(
      (writer ?? begin({})).delta(refusal === undefined ? {} : { refusal }, reason),
      refusal !== undefined,
    );
  }

  function complete(reason: string): Verdict {
    const told = Object.keys(usage).length > 0 ? toOpenAiUsage(usage) : undefined;
    if (told && writer) sink.usage(writer.usage(told));
    return { kind: 'completed', finishReason: reason, usage: told };
  }

  function onEvent(data: string): void {
    if (verdict) return;
    const event = parse(data);
    // One event that is no JSON does not spoil the answer around it.
    if (!isJsonObject(event) || event['type'] === 'ping') return;
    events += 1;
    switch (event['type']) {
      case 'message_start':
        startMessage(event['message']);
        break;
      case 'content_block_start':
        show(blocks.start(event['index'], event['content_block']));
        break;
      case 'content_block_delta':
        show(blocks.delta(event['index'], event['delta']));
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
      default:
        // After the stop_reason the answer is whole: nothing that follows can break it.
        verdict = errorVerdict(event);
        if (verdict && finishReason !== undefined) verdict = complete(finishReason);
    }
  }

  const parser = createEventStreamParser({
    onEvent: ({ data }) => onEvent(data),
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
          'The provider sent an event beyond every bound.',
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

const isVisible = ({ content, reasoning_content, tool_calls, thinking_blocks }: Delta): boolean =>
  content !== undefined ||
  reasoning_content !== undefined ||
  tool_calls !== undefined ||
  thinking_blocks !== undefined;

/** Of an event that is none of an answer's: an error, or one that is not known yet. */
function errorVerdict(event: Json): Verdict | undefined {
  const error = toOpenAiError(event);
  if (!error) return undefined;
  const httpStatus = statusOf(error.type);
  return {
    kind: 'fault',
    fault: {
      code: 'upstream_error_event',
      message: error.message,
      error,
      ...(httpStatus !== undefined && { httpStatus }),
    },
  };
}

const fault = (code: Fault['code'], message: string): Verdict => ({
  kind: 'fault',
  fault: { code, message },
});

const truncated = (how: string): Verdict =>
  fault('upstream_truncated', `The provider ended its answer ${how}.`);

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
