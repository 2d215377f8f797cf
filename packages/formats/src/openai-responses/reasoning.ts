import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';

type Json = Readonly<Record<string, unknown>>;

/**
 * In the inner form, the encrypted reasoning of an answer is in its `reasoning_details`, as OpenRouter has it. A client that
 * sends the message back with them lets the model go on from its reasoning.
 */
export const reasoningFormat = 'openai-responses-v1';

export const encryptedReasoning = 'reasoning.encrypted_content';

/** `index`: the position among the details, so that a client that joins deltas keeps two of them apart. */
export const reasoningDetail = (
  data: string,
  id: unknown,
  index: number,
): Record<string, unknown> => ({
  type: 'reasoning.encrypted',
  data,
  ...(typeof id === 'string' && id !== '' && { id }),
  format: reasoningFormat,
  index,
});

/**
 * The reasoning items of an earlier answer. They have no id: OpenAI would look it up among stored items, and finds none of an
 * answer that was not stored.
 */
export const reasoningItems = (details: unknown): Record<string, unknown>[] =>
  itemsOf(details).flatMap((detail) => {
    if (!isJsonObject(detail) || detail['format'] !== reasoningFormat) return [];
    const { type, data } = detail;
    if (type !== 'reasoning.encrypted' || typeof data !== 'string' || data === '') return [];
    return [{ type: 'reasoning', summary: [], encrypted_content: data }];
  });

const members = ['effort', 'summary', 'generate_summary', 'mode', 'context'] as const;

/** `reasoning`: the caller's own, with OpenAI's `reasoning_effort`. Undefined if it asks for nothing. */
export function translateReasoning(request: Json): Record<string, unknown> | undefined {
  const own = isJsonObject(request['reasoning']) ? request['reasoning'] : {};
  const all: Json = { ...own, effort: request['reasoning_effort'] ?? own['effort'] };
  const asked = members.filter((name) => all[name] !== undefined && all[name] !== null);
  return asked.length > 0 ? Object.fromEntries(asked.map((name) => [name, all[name]])) : undefined;
}

/**
 * OpenAI's reasoning models by their names, also behind a gateway's prefix. Other models refuse a request that includes
 * encrypted reasoning.
 */
const reasoningModel = /(^|[/.])(o\d|gpt-([5-9]|oss)|codex)(?!.*chat)/i;

/**
 * Whether the encrypted reasoning is needed without being asked for: before calls of tools, because it goes back to the model
 * with their results.
 */
export const needsReasoning = (request: Json, model: string): boolean =>
  itemsOf(request['tools']).length > 0 && reasoningModel.test(model);

export const asksForReasoning = (request: Json): boolean =>
  itemsOf(request['include']).includes(encryptedReasoning);
