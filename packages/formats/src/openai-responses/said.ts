import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';

/*
 * A provider sends each text of an item in pieces, and then up to three times as a whole. In a log, a whole text is a reference to
 * its pieces.
 */

/** The member of a reference: the name of the text within its item (`textNameOf`). */
const saidMember = 'x_millrace_said';

/** Characters from which a reference is shorter. */
const minReplaced = 40;

/** The item of an event: its id, or its position where it has none. */
export const itemKeyOf = ({ item_id: id, item, output_index: index }: JsonObject): unknown =>
  id ?? (isJsonObject(item) ? item['id'] : undefined) ?? index;

/** The name of the text of an event within its item. */
export const textNameOf = ({ content_index: part, summary_index: summary }: JsonObject): string =>
  // Some servers leave the index of an only part out.
  summary === undefined ? `content ${Number(part ?? 0)}` : `summary ${Number(summary)}`;

/** The member of a reference to a whole item: its id. */
const itemMember = 'x_millrace_item';

/** Stands for an item as it ended; without an id, the item itself does. */
export function itemReference(item: unknown): unknown {
  const id = isJsonObject(item) ? item['id'] : undefined;
  return typeof id === 'string' && id !== '' ? { [itemMember]: id } : item;
}

/** The item that a reference stands for; the value itself if it is none. */
export function itemFor(value: unknown, items: readonly unknown[]): unknown {
  const id = isJsonObject(value) ? value[itemMember] : undefined;
  if (id === undefined) return value;
  return items.find((item) => isJsonObject(item) && item['id'] === id) ?? value;
}

/** The value with references in place of the texts that were sent in pieces. */
export function withReferences(value: unknown, said: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') {
    if (value.length < minReplaced) return value;
    for (const [name, text] of said) if (text === value) return { [saidMember]: name };
    return value;
  }
  return mapMembers(value, (one) => withReferences(one, said));
}

/** The value with the texts in place of references. */
export function withTexts(value: unknown, textOf: (name: string) => string): unknown {
  const name = isJsonObject(value) ? value[saidMember] : undefined;
  if (typeof name === 'string') return textOf(name);
  return mapMembers(value, (one) => withTexts(one, textOf));
}

function mapMembers(value: unknown, map: (one: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(map);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, map(one)]));
}
