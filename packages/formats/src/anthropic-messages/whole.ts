import { isJsonObject, withinDepth } from '@millrace/shared/domain/json';
import type { ProviderCall, Verdict } from '../port.ts';
import { createBlockReader } from './blocks.ts';
import { completionId } from '../openai-chat/chunk-writer.ts';
import type { Delta } from '../openai-chat/chunk-writer.ts';
import { addDelta, finishMessage, startMessage } from '../openai-chat/completion-message.ts';
import { errorFault } from './errors.ts';
import { parseExactly } from '../exact-json.ts';
import { finishReasonOf, refusalOf, toOpenAiUsage } from './usage.ts';

type Json = Readonly<Record<string, unknown>>;

/** The verdict on a complete answer, and the answer as a chat completion. */
export function readWhole(
  text: string,
  { model, body: asked }: Pick<ProviderCall, 'model' | 'body'>,
  now: () => number = Date.now,
): Verdict & { body?: string } {
  const message = parse(text);
  const fault = errorFault(message, { body: asked });
  if (fault) return { kind: 'fault', fault };
  const finishReason = isMessage(message) ? finishReasonOf(message['stop_reason']) : undefined;
  const deltas = isMessage(message) ? readBlocks(message.content) : 'damaged';
  if (!isMessage(message) || finishReason === undefined || deltas === 'damaged') {
    return {
      kind: 'fault',
      fault: {
        code: 'upstream_invalid_response',
        message: 'The provider answered with something that is no whole message.',
      },
    };
  }
  const usage = isJsonObject(message['usage']) ? toOpenAiUsage(message['usage']) : undefined;
  const body = JSON.stringify({
    id: completionId(message['id']),
    object: 'chat.completion',
    created: Math.floor(now() / 1000),
    model: message['model'] || model,
    choices: [
      {
        index: 0,
        message: toOpenAiMessage(deltas, refusalOf(message['stop_details'])),
        logprobs: null,
        finish_reason: finishReason,
      },
    ],
    usage,
  });
  return { kind: 'completed', finishReason, ...(usage && { usage }), body };
}

function toOpenAiMessage(deltas: readonly Delta[], refusal: string | undefined) {
  const message = startMessage();
  for (const delta of [...deltas, { refusal: refusal ?? null }]) addDelta(message, delta);
  return finishMessage(message);
}

/** Reads the blocks as those of a stream, each as one piece; `damaged` if one cannot be read. */
function readBlocks(content: readonly unknown[]): Delta[] | 'damaged' {
  const reader = createBlockReader();
  const deltas: (Delta | 'damaged' | undefined)[] = [];
  for (const [index, block] of content.entries()) {
    deltas.push(reader.start(index, block));
    const citations = isJsonObject(block) ? block['citations'] : undefined;
    for (const citation of Array.isArray(citations) ? (citations as unknown[]) : []) {
      reader.delta(index, { type: 'citations_delta', citation });
    }
    deltas.push(reader.stop(index));
  }
  deltas.push(...reader.end());
  if (deltas.includes('damaged')) return 'damaged';
  return deltas.filter((delta) => delta !== undefined && delta !== 'damaged');
}

const isMessage = (value: unknown): value is Json & { content: unknown[] } =>
  isJsonObject(value) && Array.isArray(value['content']);

function parse(text: string): unknown {
  try {
    return withinDepth(parseExactly(text));
  } catch {
    return undefined;
  }
}
