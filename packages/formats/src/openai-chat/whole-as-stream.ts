import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { parseExactly } from '../exact-json.ts';

/**
 * The event stream that says the same as a whole chat completion: for a provider that answers a request
 * for a stream with all of it at once. `body`: valid JSON of an object.
 */
export function wholeAsStream(body: string): string {
  const { usage, choices, ...rest } = parseExactly(body) as JsonObject;
  const head = { ...rest, object: 'chat.completion.chunk' };
  const all = itemsOf(choices).filter(isJsonObject);
  const chunks = [
    { ...head, choices: all.map(said) },
    { ...head, choices: all.map(ended) },
    ...(isJsonObject(usage) ? [{ ...head, choices: [], usage }] : []),
  ];
  const texts = [...chunks.map((chunk) => JSON.stringify(chunk)), '[DONE]'];
  return texts.map((text) => `data: ${text}\n\n`).join('');
}

function said({ message, finish_reason: _, ...choice }: JsonObject, index: number): JsonObject {
  return { index, ...choice, delta: message ?? {}, finish_reason: null };
}

/** An answer that is whole has an end, whether its provider says so or not. */
function ended({ index, message, finish_reason: reason }: JsonObject, place: number): JsonObject {
  const hasCalls = isJsonObject(message) && itemsOf(message['tool_calls']).length > 0;
  const usual = hasCalls ? 'tool_calls' : 'stop';
  return { index: index ?? place, delta: {}, finish_reason: reason || usual };
}
