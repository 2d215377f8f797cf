import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { parseExactly } from '../../exact-json.ts';
import { deltaOf, finishReasons, reasoningTextFields, usageOf } from '../../openai-chat/chunk.ts';
import type { AnswerFacts } from '../../client-port.ts';
import { toInput } from '../calls.ts';
import { fromInnerUsage, messageId, stopReasonOf } from './usage.ts';

/** A chat completion as a message. Only its first choice has a counterpart. */
export function encodeWhole(completion: string, { id, model }: AnswerFacts): string {
  const value = parseExactly(completion);
  const answer: JsonObject = isJsonObject(value) ? value : {};
  const message = deltaOf(itemsOf(answer['choices'])[0]) ?? {};
  const usage = usageOf(answer);
  const content = blocksOf(message, id);
  const hasCalls = content.some(({ type }) => type === 'tool_use');
  const reason = stopReasonOf(finishReasons(answer)[0]?.reason ?? 'stop');
  return JSON.stringify({
    id: messageId(id),
    type: 'message',
    role: 'assistant',
    model: typeof answer['model'] === 'string' ? answer['model'] : model,
    content,
    stop_reason: reason === 'end_turn' && hasCalls ? 'tool_use' : reason,
    stop_sequence: null,
    usage: fromInnerUsage(usage ?? {}),
  });
}

function blocksOf(message: JsonObject, requestId: string): JsonObject[] {
  const blocks: JsonObject[] = [];
  const reasoning = reasoningOf(message);
  if (reasoning !== '') blocks.push({ type: 'thinking', thinking: reasoning, signature: '' });
  for (const text of [textOf(message['content']), message['refusal']]) {
    if (typeof text === 'string' && text !== '') blocks.push({ type: 'text', text });
  }
  const { tool_calls: several, function_call: only } = message;
  const calls = isJsonObject(only)
    ? [{ id: `call_${requestId}`, function: only }]
    : itemsOf(several);
  for (const call of calls) {
    const called = isJsonObject(call) ? call['function'] : undefined;
    if (!isJsonObject(call) || !isJsonObject(called)) continue;
    blocks.push({
      type: 'tool_use',
      id: cleanCallId(call['id'], blocks.length),
      name: called['name'],
      input: toInput(called['arguments']),
    });
  }
  return blocks;
}

/** The id of a call in Anthropic's alphabet: its clients send it back, perhaps to Anthropic. `place`: for a call without one. */
export const cleanCallId = (id: unknown, place: number): string =>
  typeof id === 'string' && id !== '' ? id.replaceAll(/[^\w-]/g, '_') : `toolu_${place}`;

/** The reasoning of a message or a delta as text; some providers send the same in several fields. */
export function reasoningOf(message: JsonObject): string {
  for (const name of reasoningTextFields) {
    const value = message[name];
    if (typeof value === 'string' && value !== '') return value;
  }
  return '';
}

/** The text of a content, also of one in parts. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return itemsOf(content)
    .map((part) => (isJsonObject(part) && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('');
}
