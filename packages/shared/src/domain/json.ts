/** A JSON object: neither null nor an array. */
export const isJsonObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The JSON object that a text is; undefined if it is none, such as a record of another version or another program. */
export function readJsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Any JSON value as a text, for a message: `String` throws on an object with a member `toString`. */
export const shownText = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');

/** An object as a provider sent it: it may have any members. */
export type JsonObject = Readonly<Record<string, unknown>>;

const none: readonly never[] = Object.freeze([]);

/** The value's items; empty if it is no array. */
export const itemsOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? (value as unknown[]) : none;

/**
 * Levels of a provider's JSON that are kept as values. Its text goes to readers unchanged, but code that
 * walks through values or serializes them recurses, and has no stack for thousands of levels.
 */
const maxKeptDepth = 100;

/** As JSON.parse, with null in place of values nested deeper than 100 levels. */
export const parseShallow = (text: string): unknown => withinDepth(JSON.parse(text));

/** The same value without what is nested too deep. It modifies the value, so pass only one that was just parsed. */
export const withinDepth = (value: unknown): unknown => cut(value, maxKeptDepth);

function cut(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value)) {
    const items = value as unknown[];
    for (const [index, item] of items.entries()) items[index] = cut(item, depth - 1);
    return items;
  }
  const object = value as Record<string, unknown>;
  for (const name in object) {
    const member = object[name];
    if (typeof member === 'object' && member !== null) object[name] = cut(member, depth - 1);
  }
  return object;
}
