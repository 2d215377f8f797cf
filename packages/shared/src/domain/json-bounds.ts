/*
 * Bounds on the shape of a JSON text, checked before JSON.parse. What parsing costs depends on the
 * number of values far more than on the bytes: 12 MB are parsed in 10 ms where they are one string,
 * in 1,200 ms where they are empty arrays, in 2,600 ms where they are nested. The count below costs
 * the same for every byte (about 2 ns), needs no recursion, and can be taken while the bytes arrive.
 */

/** What a JSON text may have. */
export type JsonBounds = {
  /** Levels of objects and arrays. */
  depth: number;
  /**
   * Values and names of members: counted by the `,`, `:`, `[` and `{` that stand before them outside of
   * strings, so that an empty array in a list counts twice, which is what it costs.
   */
  values: number;
};

/** The bound that a text exceeds. */
export type JsonExcess = keyof JsonBounds;

/**
 * Levels of objects and arrays. JSON.parse takes any number, but whatever walks through a value or
 * writes it as JSON again recurses, and has room for some thousands.
 */
export const maxJsonDepth = 1000;

/**
 * Values in one event or one whole answer of a provider: 4,500 tokens with the 20 most likely ones beside
 * each, and at most some tenths of a second to read. Its depth is bounded where it is parsed (json.ts).
 */
export const answerBounds: JsonBounds = { depth: Infinity, values: 1_000_000 };

/** Follows a JSON text through its pieces, in UTF-8. Of a text that is no JSON it says anything, in linear time. */
export type JsonMeter = {
  /** The next piece. Returns the excess from the piece on with which there is one. */
  push(bytes: Uint8Array): JsonExcess | undefined;
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** What a byte outside of strings means for the count. */
const VALUE = 1;
const OPEN = 2;
const CLOSE = 3;
const STRING = 4;
const roles = new Uint8Array(256);
for (const byte of Buffer.from(',:')) roles[byte] = VALUE;
for (const byte of Buffer.from('[{')) roles[byte] = OPEN;
for (const byte of Buffer.from(']}')) roles[byte] = CLOSE;
roles[QUOTE] = STRING;

export function createJsonMeter(bounds: JsonBounds): JsonMeter {
  let inString = false;
  let isEscaped = false;
  let depth = 0;
  let values = 0;
  let excess: JsonExcess | undefined;

  /** Returns where the string ends, or the length of the piece. */
  function passString(bytes: Uint8Array, from: number): number {
    let at = from;
    // One that was escaped by the end of the piece before.
    if (isEscaped) at += 1;
    isEscaped = false;
    for (; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        inString = false;
        return at + 1;
      }
      if (byte === BACKSLASH) at += 1;
    }
    isEscaped = at > bytes.length;
    return bytes.length;
  }

  /** Up to the next string, or to the excess. Returns where it begins. */
  function passPlain(bytes: Uint8Array, from: number): number {
    let at = from;
    let level = depth;
    let count = values;
    for (; at < bytes.length; at++) {
      const role = roles[bytes[at] as number];
      if (role === 0) continue;
      if (role === STRING) {
        inString = true;
        at += 1;
        break;
      }
      if (role === CLOSE) {
        level -= 1;
        continue;
      }
      count += 1;
      if (role === OPEN) level += 1;
      if (level > bounds.depth) excess = 'depth';
      else if (count > bounds.values) excess = 'values';
      if (excess) break;
    }
    depth = level;
    values = count;
    return at;
  }

  return {
    push(bytes) {
      for (let at = 0; at < bytes.length && excess === undefined;) {
        at = inString ? passString(bytes, at) : passPlain(bytes, at);
      }
      return excess;
    },
  };
}

/** The excess of a text that is there as a whole. One that is too short to have any is not looked at. */
export function jsonExcess(text: string | Uint8Array, bounds: JsonBounds): JsonExcess | undefined {
  if (text.length <= Math.min(bounds.depth, bounds.values)) return undefined;
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  return createJsonMeter(bounds).push(bytes);
}
