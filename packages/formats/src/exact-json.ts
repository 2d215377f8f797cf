/**
 * As JSON.parse, but numbers that a double cannot hold (ids of 20 digits in a tool's arguments) are opaque
 * objects, which JSON.stringify writes unchanged.
 */
export function parseExactly(text: string): unknown {
  // A reviver takes several times as long as parsing, and hardly any text has such a number.
  if (!/\d{16}/.test(text)) return JSON.parse(text) as unknown;
  return parse(text, (_key, value, { source }) => {
    if (typeof value !== 'number' || source === undefined) return value;
    return JSON.stringify(value) === source ? value : raw(source);
  });
}

type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown;

// ECMAScript 2026: Node has them, the type library does not yet.
const { parse, rawJSON: raw } = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown;
  rawJSON(text: string): unknown;
};
