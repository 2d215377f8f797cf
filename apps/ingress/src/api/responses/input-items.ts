import { responseId } from '@millrace/formats/openai-responses/client/response';
import { isJsonObject } from '@millrace/shared/domain/json';
import { apiError } from '../../api-error.ts';

export type ItemsQuery = { limit?: string; order?: string; after?: string };

const maxItems = 100;
const defaultItems = 20;

/** A page of the input items of a response, in OpenAI's form. Throws an ApiError on a query that cannot be read. */
export function inputPage(requestId: string, texts: readonly string[], query: ItemsQuery) {
  const { limit = String(defaultItems), order = 'desc', after } = query;
  if (!/^\d{1,3}$/.test(limit) || Number(limit) < 1 || Number(limit) > maxItems) {
    throw apiError('invalid_value', { param: 'limit', expected: `1 to ${maxItems}` });
  }
  if (order !== 'asc' && order !== 'desc') {
    throw apiError('invalid_value', { param: 'order', expected: 'asc or desc' });
  }
  const isDescending = order === 'desc';
  const from = after === undefined ? -1 : indexOf(requestId, texts, after, isDescending);
  if (from === undefined) {
    throw apiError('invalid_value', { param: 'after', expected: 'the id of an item' });
  }
  // Only the items of the page are parsed.
  const positions = Array.from({ length: texts.length }, (_, index) =>
    isDescending ? texts.length - 1 - index : index,
  ).slice(from + 1);
  const data = positions
    .slice(0, Number(limit))
    .map((index) => itemOf(requestId, texts[index] ?? '', index));
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: data.length < positions.length,
  };
}

/**
 * The position in the page's order of the item with this id: of several with one id, as a client can send them, the last one, so that a
 * client that asks on comes to the end. Undefined: there is none.
 */
function indexOf(
  requestId: string,
  texts: readonly string[],
  id: string,
  isDescending: boolean,
): number | undefined {
  const own = Number(
    new RegExp(`^(?:msg|item)_${responseId(requestId).slice('resp_'.length)}_input_(\\d+)$`).exec(
      id,
    )?.[1],
  );
  const quoted = JSON.stringify(id);
  const matches = texts.flatMap((text, index) =>
    index === own || (text.includes(quoted) && itemOf(requestId, text, index).id === id)
      ? [index]
      : [],
  );
  const found = isDescending ? matches[0] : matches.at(-1);
  if (found === undefined) return undefined;
  return isDescending ? texts.length - 1 - found : found;
}

/** An input item with an id, and with the content of a message as parts. */
function itemOf(
  requestId: string,
  text: string,
  index: number,
): { id: string } & Record<string, unknown> {
  const value = JSON.parse(text) as unknown;
  const item = isJsonObject(value) ? value : {};
  const { type = 'message', content } = item;
  const own = `${responseId(requestId).replace('resp_', type === 'message' ? 'msg_' : 'item_')}_input_${index}`;
  const id = typeof item['id'] === 'string' ? item['id'] : own;
  if (type !== 'message' || typeof content !== 'string') return { ...item, type, id };
  const part = item['role'] === 'assistant' ? 'output_text' : 'input_text';
  return { ...item, type, id, content: [{ type: part, text: content }] };
}
