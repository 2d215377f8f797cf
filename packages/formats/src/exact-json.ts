/**
 * As JSON.parse, but numbers that a double cannot hold (ids of 20 digits in a tool's arguments) are opaque
 * objects, which JSON.stringify writes unchanged.
 */
export function parseExactly(text: string): unknown {
  // A reviver takes several times as long as parsing, and hardly any text has such a number.
  if (!long.test(text)) return JSON.parse(text) as unknown;
  return parse(text, (_key, value, { source }) => {
    if (typeof value !== 'number' || source === undefined) return value;
    // A number with few digits may only be written in another way, as `1.0`.
    return !long.test(source) || JSON.stringify(value) === source ? value : raw(source);
  });
}

/** The digits that a double may not hold. */
const long = /\d{16}/;

type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown;

// ECMAScript 2026: Node has them, the type library does not yet.
const { parse, rawJSON: raw } = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown;
  rawJSON(text: string): unknown;
};
