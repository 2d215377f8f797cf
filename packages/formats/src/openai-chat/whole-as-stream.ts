import type { JsonObject } from '@millrace/shared/domain/json';
import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { parseExactly } from '../exact-json.ts';

/**
 * A complete chat completion as an event stream, for a provider that answers a streaming request at once.
 * `body`: valid JSON of an object.
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

/** A complete answer has an end, whether or not its provider sends a finish_reason. */
function ended({ index, message, finish_reason: reason }: JsonObject, place: number): JsonObject {
  const hasCalls = isJsonObject(message) && itemsOf(message['tool_calls']).length > 0;
  const usual = hasCalls ? 'tool_calls' : 'stop';
  return { index: index ?? place, delta: {}, finish_reason: reason || usual };
}
