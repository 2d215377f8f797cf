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
  const all = texts.map((text, index) => itemOf(requestId, text, index));
  if (order === 'desc') all.reverse();
  const at = after === undefined ? -1 : all.findIndex(({ id }) => id === after);
  if (after !== undefined && at < 0) {
    throw apiError('invalid_value', {
      param: 'after',

      expected: 'the id of an item',
    });
  }
  const data = all.slice(at + 1, at + 1 + Number(limit));
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: at + 1 + data.length < all.length,
  };
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
